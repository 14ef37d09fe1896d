// SPDX-License-Identifier: Apache-2.0
// What the keeper does for the one after it, and what that one does first.
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <utility>

#include "control/name.h"
#include "control/text.h"
#include "handoff/frame.h"
#include "keeper/keeper.h"
#include "os/files.h"

namespace segue::keeper {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using control::ExitCode;

constexpr std::size_t kMaxStepBytes = std::size_t{8} << 20;

std::string in_folder(const std::string& folder, std::string_view name) {
  return folder + "/" + std::string(name);
}

// Once a second, to whoever waits for the start.
void tell_waiting(int client_fd, const std::string& text) {
  if (client_fd < 0) return;
  const std::string reply = queued_reply(text);
  (void)::send(client_fd, reply.data(), reply.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

}  // namespace

Result<SavedState> read_saved_state(const ComponentPaths& paths) {
  SEGUE_ASSIGN(const std::string bytes,
               os::read_file(in_folder(paths.state, control::kKeeperState), kMaxStateBytes));
  SEGUE_ASSIGN(SavedState state, decode_state(bytes));
  if (state.boot_id != os::boot_id()) {
    return fail(ErrorCode::failed_precondition, "the state is of another boot");
  }
  return state;
}

// ---- The keeper that may die

void Keeper::offer_rendezvous(Generation generation) {
  const int lock = locks_.instances.get();
  send(generation, handoff::FrameType::keeper_rendezvous,
       rendezvous_payload(in_folder(paths_.runtime, control::kRendezvous), nonce_, generation),
       std::span(&lock, 1));
}

void Keeper::save_state() {
  SavedState state = lasting_state();
  state.boot_id = boot_id_;
  for (auto& instance : state.component.instances) {
    instance.last_pong.reset();
    instance.connections = 0;
  }
  for (auto& [generation, side] : state.component.sides) {  // what is looked at again at once
    side.status.clear();
    side.last_ping = {};
    side.left = side.kept = 0;
  }
  std::string bytes = encode_state(state);
  if (bytes == saved_bytes_) return;
  const auto saved = os::write_file_atomically(in_folder(paths_.state, control::kKeeperState),
                                               bytes, 0600, os::Durability::buffered);
  if (saved) {
    saved_bytes_ = std::move(bytes);
    saves_failed_ = 0;
  } else if (saves_failed_++ == 0) {
    // A full disk stops no upgrade; it is tried again at the next event.
    execute(Step{"state.not_saved", {{"why", saved.error().to_string()}}, false});
  }
}

// ---- The keeper after it

Result<std::unique_ptr<Keeper>> Keeper::adopt(const os::Clock& clock, CommandLine line,
                                              ComponentPaths paths, ComponentLocks& locks,
                                              std::vector<std::string> environment) {
  auto saved = read_saved_state(paths);
  if (!saved) {
    return fail(instances_in_the_way(
        paths, line.name, "its keeper has died or it was ejected, and the keeper's state is gone"));
  }
  if (saved->programs) {
    return adopt_programs(clock, std::move(line), std::move(paths), locks, std::move(environment),
                          *std::move(saved));
  }
  SEGUE_ASSIGN(auto loop, os::EpollLoop::create(clock));
  Reunion reunion(loop, clock, *saved);
  SEGUE_ASSIGN(auto found,
               reunion.wait(in_folder(paths.runtime, control::kRendezvous),
                            [&](const std::string& text) { tell_waiting(line.client_fd, text); }));
  line.run = saved->run;
  line.launch = saved->launch;
  SEGUE_ASSIGN(auto own_loop, os::EpollLoop::create(clock));
  locks.instances = std::move(found.lock);
  std::unique_ptr<Keeper> keeper(new Keeper(clock, std::move(line), std::move(paths),
                                            std::move(locks), std::move(environment),
                                            std::move(own_loop)));
  SEGUE_TRY(keeper->take_over(*std::move(saved), std::move(found)));
  return keeper;
}

Result<void> Keeper::take_over(SavedState saved, Reunion::Result found) {
  SEGUE_TRY(watch_signals());
  page_ = std::move(found.page);
  nonce_ = saved.rendezvous_nonce;
  since_ = saved.since;
  replaced_ = saved.replaced;
  load_history();
  load_steps();
  std::vector<FoundInstance> living;
  for (auto& [generation, member] : found.members) {
    living.push_back(member.found);
    const bool open = member.channel != nullptr;
    Process process{
        .channel = open ? std::move(*member.channel) : handoff::Link(handoff::UniqueFd()),
        .child = {.pid = member.found.pid, .pidfd = std::move(member.pidfd)},
        .owner_name = member.owner_name,
        .channel_open = open,
        .is_child = false,
        .start_ticks = member.start_ticks};
    SEGUE_TRY(take_over_process(generation, std::move(process)));
  }
  store(std::move(found.listeners));
  KeptFds kept = manager_.take_kept();
  for (auto& [name, fd] : kept.listeners) {  // those of the instance come first
    listeners_.try_emplace(name, handoff::UniqueFd(fd.release()));
  }
  AdoptionPlan plan =
      plan_adoption(std::move(saved.component), living, found.owner, clock_.monotonic_now());
  component_->resume(std::move(plan.component), clock_.monotonic_now());
  start_metrics();
  execute(Step{"keeper.adopted",
               {{"generation", fmt::to_string(found.owner)},
                {"instances", fmt::to_string(processes_.size())},
                {"listeners", fmt::to_string(listeners_.size())}},
               true});
  for (const auto& attempt : plan.concluded) {
    execute(Step{"attempt.end",
                 {{"attempt", fmt::to_string(attempt.id)},
                  {"kind", std::string(to_string(attempt.kind))},
                  {"from", attempt.from},
                  {"to", attempt.to},
                  {"outcome", std::string(to_string(attempt.outcome))},
                  {"why", attempt.why}},
                 true});
    execute(Record{attempt});
  }
  offer_rendezvous(found.owner);
  return finish_adoption(found.owner, "");
}

// `losses`: what could not be taken back.
Result<void> Keeper::finish_adoption(Generation owner, const std::string& losses) {
  write_instances_file();
  SEGUE_TRY(server_.listen(in_folder(paths_.runtime, control::kControlSocket)));
  save_state();
  if (line_.client_fd >= 0) {
    SEGUE_ASSIGN(const RequestId id, server_.adopt(os::UniqueFd(line_.client_fd)));
    const Instance* serving = component_->find(owner);
    const std::string who =
        serving == nullptr
            ? "what it had left"
            : fmt::format("{} (pid {})", control::version_text(serving->label()), serving->pid);
    end_request(
        id, ExitCode::done,
        fmt::format("{} has a keeper again (pid {}): {} served on and goes on; no program "
                    "was started{}{}. To change it, use `segue upgrade {}`",
                    line_.name, ::getpid(), who, losses.empty() ? "" : ". ", losses, line_.name));
  }
  return {};
}

// Those that the dead keeper wrote down, so that numbers and the tail go on.
void Keeper::load_steps() {
  const auto text = os::read_file(step_log_.path(), kMaxStepBytes);
  if (!text) return;
  std::string_view rest = *text;
  for (std::size_t end = 0; (end = rest.find('\n')) != std::string_view::npos;
       rest.remove_prefix(end + 1)) {
    const std::string_view line = rest.substr(0, end);
    constexpr std::string_view kHead = "{\"n\":";
    if (!line.starts_with(kHead) || !line.ends_with('}')) continue;
    std::uint64_t number = 0;
    std::from_chars(line.data() + kHead.size(), line.data() + line.size(), number);
    if (number <= last_step_ && number != 1) continue;
    if (number == 1) steps_.clear();  // an earlier keeper counted for itself
    last_step_ = number;
    steps_.push_back({number, std::string(line)});
    if (steps_.size() > kMaxEvents) steps_.pop_front();
  }
}

}  // namespace segue::keeper
