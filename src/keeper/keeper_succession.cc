// SPDX-License-Identifier: Apache-2.0
// The keeper becomes another program: same process, same descriptors, same children.
#include <fmt/format.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include "control/name.h"
#include "control/text.h"
#include "keeper/keeper.h"
#include "os/sealed_memory.h"

namespace segue::keeper {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using control::ExitCode;

std::string own_program() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).string();
}

std::string control_socket(const ComponentPaths& paths) {
  return paths.runtime + "/" + std::string(control::kControlSocket);
}

}  // namespace

// ---- The old program

std::string Keeper::why_not_replaceable() const {
  if (replacement_) return "another program is being checked already";
  if (admission_) return "an upgrade waits for its turn";
  if (std::string why = component_->why_not_at_rest(); !why.empty()) return why;
  for (const auto& [generation, process] : processes_) {
    if (process.channel_open && !process.channel.position()) {
      return fmt::format("generation {} (pid {}) does not read what it is told", generation,
                         process.child.pid);
    }
  }
  return "";
}

void Keeper::replace_keeper(RequestId id, const control::ParsedRequest& request) {
  const auto refuse = [&](const std::string& why) {
    end_request(id, ExitCode::refused,
                fmt::format("the keeper of {} was not replaced: {}; it goes on", line_.name, why));
  };
  if (const std::string why = why_not_replaceable(); !why.empty()) return refuse(why);
  const std::string program = request.keeper.empty() ? own_program() : request.keeper;
  if (::access(program.c_str(), X_OK) != 0) return refuse(program + " cannot be executed");
  const bool dry_run = request.dry_run;
  replacement_ = std::make_unique<Replacement>(
      loop_, clock_, program, [this, id, dry_run](const Replacement::Checked& checked) {
        keeper_checked(id, dry_run, checked);
      });
  execute(Step{"keeper.check", {{"program", program}}, false});
  const auto started = replacement_->start(encode_state(saved_state()), environment_);
  if (started) return;
  replacement_.reset();
  refuse(started.error().to_string());
}

void Keeper::keeper_checked(RequestId id, bool dry_run, const Replacement::Checked& checked) {
  // Its own callback: it is kept until the end of this function.
  const std::unique_ptr<Replacement> replacement = std::move(replacement_);
  const std::string& program = replacement->program();
  const auto refuse = [&](const std::string& why) {
    execute(Step{"keeper.not_replaced", {{"program", program}, {"why", why}}, true});
    end_request(id, ExitCode::refused,
                fmt::format("the keeper of {} was not replaced: {}; it goes on", line_.name, why));
  };
  if (!checked.good) return refuse(checked.text);
  if (const std::string why = why_not_replaceable(); !why.empty()) return refuse(why);
  if (dry_run) {
    return end_request(id, ExitCode::done,
                       fmt::format("the keeper of {} (pid {}) would become {}: {}", line_.name,
                                   ::getpid(), program, checked.text));
  }
  execute(Step{"keeper.replace", {{"program", program}}, true});
  if (const auto became = become_next_program(program, id); !became) {
    refuse(became.error().to_string());
  }
}

// Returns only where that fails.
Result<void> Keeper::become_next_program(const std::string& program, RequestId id) {
  SavedState state = saved_state();
  state.answer_to = id;
  SEGUE_ASSIGN(const os::UniqueFd memory,
               os::make_sealed_memory("segue-keeper-state", encode_state(state)));
  std::vector<int> kept = descriptors_of(state);
  kept.push_back(memory.get());
  std::vector<std::string> environment = environment_;
  for (auto& variable : manager_.variables()) environment.push_back(std::move(variable));
  return fail(os::replace_process(
      {program, line_.name, fmt::format("--resume-state={}", memory.get())}, environment, kept));
}

SavedState Keeper::saved_state() const {
  SavedState state = lasting_state();
  for (auto& saved : state.processes) {
    const Process& process = processes_.at(saved.generation);
    const auto position = process.channel.position().value_or(handoff::Link::Position{});
    saved.channel_fd = process.channel_open ? process.channel.fd() : -1;
    saved.pidfd = process.child.pidfd.get();
    saved.next_out = position.next_out;
    saved.next_in = position.next_in;
  }
  for (const auto& [generation, starter] : starters_) {
    state.starters.push_back({generation, starter.pid, starter.pidfd.get()});
  }
  state.page_fd = page_.fd();
  state.keeper_lock_fd = locks_.keeper.get();
  state.instances_lock_fd = locks_.instances.get();
  state.control_fd = server_.listening_fd();
  for (const auto& [name, fd] : listeners_) state.listeners.push_back({name, fd.get()});
  const std::set<RequestId> followers(followers_.begin(), followers_.end());
  for (auto& seat : server_.seats()) {
    state.clients.push_back({seat.id, seat.fd, seat.asked, seat.finished,
                             followers.contains(seat.id), std::move(seat.queue)});
  }
  state.last_request = server_.last_request();
  state.replaces = own_program();
  state.last_step = last_step_;
  for (const auto& step : steps_) state.steps.push_back({step.number, step.json});
  state.last_ping = last_ping_;
  if (state.programs) {
    const SavedPrograms held = programs_->saved(ProgramHost::Descriptors::named);
    state.programs->notify_fd = held.notify_fd;
    state.programs->sockets = held.sockets;
    state.programs->stored = held.stored;
  }
  return state;
}

// What is not this process's alone, and does not change all the time.
SavedState Keeper::lasting_state() const {
  SavedState state;
  state.name = line_.name;
  state.foreground = line_.foreground;
  state.run = line_.run;
  state.launch = line_.launch;
  state.since = since_;
  state.replaced = replaced_;
  state.component = component_->snapshot();
  for (const auto& [generation, process] : processes_) {
    SavedProcess saved;
    saved.generation = generation;
    saved.pid = process.child.pid;
    saved.start_ticks = process.start_ticks;
    saved.owner_name = process.owner_name;
    saved.is_child = process.is_child;
    saved.channel_open = process.channel_open;
    state.processes.push_back(saved);
  }
  state.rendezvous_nonce = nonce_;
  if (programs_) {
    state.programs = programs_->saved(ProgramHost::Descriptors::left_out);
    state.programs->contract = component_->settings().contract;
    state.programs->health = line_.health;
  }
  return state;
}

// ---- The new program

Result<std::unique_ptr<Keeper>> Keeper::resume(const os::Clock& clock, SavedState state,
                                               ComponentPaths paths,
                                               std::vector<std::string> environment) {
  CommandLine line;
  line.name = state.name;
  line.foreground = state.foreground;
  line.run = state.run;
  line.launch = state.launch;
  if (state.programs) {
    line.contract = state.programs->contract;
    line.health = state.programs->health;
  }
  ComponentLocks locks{os::UniqueFd(state.keeper_lock_fd), os::UniqueFd(state.instances_lock_fd)};
  SEGUE_ASSIGN(auto loop, os::EpollLoop::create(clock));
  std::unique_ptr<Keeper> keeper(new Keeper(clock, std::move(line), std::move(paths),
                                            std::move(locks), std::move(environment),
                                            std::move(loop)));
  SEGUE_TRY(keeper->take_over(std::move(state)));
  return keeper;
}

Result<void> Keeper::take_over(SavedState state) {
  for (const int fd : descriptors_of(state)) SEGUE_TRY(os::set_close_on_exec(fd, true));
  SEGUE_TRY(watch_signals());
  if (const auto status = handoff::OwnerPage::map(handoff::UniqueFd(state.page_fd), page_);
      !status.ok()) {
    return fail(ErrorCode::data_loss, "{}", status.text);
  }
  for (const auto& saved : state.processes) SEGUE_TRY(take_over_process(saved));
  for (const auto& saved : state.starters) {
    SEGUE_TRY(
        keep_starter(saved.generation, {.pid = saved.pid, .pidfd = os::UniqueFd(saved.pidfd)}));
  }
  for (const auto& listener : state.listeners) {
    listeners_.insert_or_assign(listener.name, handoff::UniqueFd(listener.fd));
  }
  if (state.programs) {
    SEGUE_TRY(prepare_programs(inherited_belongings(*state.programs)));
    for (const auto& saved : state.processes) programs_->started(saved.generation, saved.pid);
  }
  std::vector<ControlServer::Seat> seats;
  for (auto& client : state.clients) {
    seats.push_back(
        {client.request, client.fd, client.asked, client.finished, std::move(client.queue)});
    if (client.follows) followers_.push_back(client.request);
  }
  for (auto& step : state.steps) steps_.push_back({step.number, std::move(step.json)});
  last_step_ = state.last_step;
  last_ping_ = state.last_ping;
  nonce_ = state.rendezvous_nonce;
  since_ = state.since;
  replaced_ = state.replaced + 1;
  load_history();
  component_->resume(std::move(state.component), clock_.monotonic_now());
  SEGUE_TRY(server_.resume(os::UniqueFd(state.control_fd), control_socket(paths_),
                           state.last_request, std::move(seats)));
  start_metrics();
  execute(Step{"keeper.replaced",
               {{"program", own_program()},
                {"before", state.replaces},
                {"instances", fmt::to_string(processes_.size())},
                {"listeners", fmt::to_string(listener_count())}},
               true});
  if (state.answer_to != 0) {
    end_request(
        state.answer_to, ExitCode::done,
        fmt::format("the keeper of {} (pid {}) is now {}: {} and {} go on", line_.name, ::getpid(),
                    own_program(), control::counted(processes_.size(), "instance"),
                    control::counted(listener_count(), "listener")));
  }
  return {};
}

Result<void> Keeper::take_over_process(const SavedProcess& saved) {
  return take_over_process(
      saved.generation,
      Process{.channel = handoff::Link(handoff::UniqueFd(saved.channel_fd),
                                       handoff::Link::Position{saved.next_out, saved.next_in}),
              .child = {.pid = saved.pid, .pidfd = os::UniqueFd(saved.pidfd)},
              .owner_name = saved.owner_name,
              .channel_open = saved.channel_open,
              .is_child = saved.is_child,
              .start_ticks = saved.start_ticks});
}

Result<void> Keeper::take_over_process(Generation generation, Process taken) {
  auto [entry, is_new] = processes_.emplace(generation, std::move(taken));
  const Process& process = entry->second;
  if (process.owner_name != handoff::kNobody) owner_names_[process.owner_name] = generation;
  if (process.channel_open) {
    SEGUE_TRY(loop_.watch(process.channel.fd(), EPOLLIN,
                          [this, generation](std::uint32_t) { on_channel(generation); }));
  }
  return loop_.watch(process.child.pidfd.get(), EPOLLIN,
                     [this, generation](std::uint32_t) { on_exit(generation); });
}

}  // namespace segue::keeper
