// SPDX-License-Identifier: Apache-2.0
// Programs that do not link libsegue: no channel, but descriptors, notices and a process to follow.
#include <fmt/format.h>
#include <signal.h>
#include <sys/epoll.h>

#include <utility>

#include "keeper/contract/program_component.h"
#include "keeper/keeper.h"

namespace segue::keeper {

using base::Result;

std::unique_ptr<Decider> Keeper::make_decider(Generation last_generation) const {
  Decider::Settings settings{.name = line_.name,
                             .output_prefix = line_.foreground ? "" : output_.prefix(),
                             .run = line_.run,
                             .contract = line_.contract,
                             .health = line_.health,
                             .last_generation = last_generation};
  if (line_.contract.upgrade == to_string(control::Contract::libsegue)) {
    return std::make_unique<Component>(std::move(settings));
  }
  return std::make_unique<ProgramComponent>(std::move(settings));
}

bool Keeper::links_libsegue() const {
  return component_->settings().contract.upgrade == to_string(control::Contract::libsegue);
}

Result<void> Keeper::prepare_programs(ProgramBelongings belongings) {
  SEGUE_ASSIGN(programs_,
               ProgramHost::create(loop_, clock_, manager_, line_.contract, paths_.runtime,
                                   std::move(belongings),
                                   {.tell = [this](ProgramTold told) { post(std::move(told)); },
                                    .step = [this](const Step& step) { execute(step); },
                                    .adopt = [this](Generation from, Generation as,
                                                    pid_t pid) { adopt_process(from, as, pid); },
                                    .settle = [this] { settle(); }}));
  return {};
}

Result<void> Keeper::watch_end(Generation generation) {
  return loop_.watch(processes_.at(generation).child.pidfd.get(), EPOLLIN,
                     [this, generation](std::uint32_t) { on_exit(generation); });
}

Result<void> Keeper::spawn_program(const Spawn& command, os::SpawnOptions options) {
  const Generation generation = command.generation;
  SEGUE_ASSIGN(const int next_fd, programs_->equip(command, options));
  options.fds.push_back({locks_.instances.get(), next_fd});
  const bool asks = is_detecting();
  handoff::Link channel{handoff::UniqueFd()};
  os::UniqueFd channel_of_instance;
  if (asks) {
    SEGUE_ASSIGN(auto ends, os::socket_pair(os::SocketType::seqpacket, os::Blocking::no));
    channel = handoff::Link(handoff::UniqueFd(ends.first.release()));
    channel.name_senders(true);  // it has to say who it is if it links libsegue
    channel_of_instance = std::move(ends.second);
    options.env.push_back(fmt::format("SEGUE_KEEPER_FD={}", next_fd + 1));
    options.fds.push_back({channel_of_instance.get(), next_fd + 1});
  }
  SEGUE_ASSIGN(os::Child child, os::spawn(options));
  const std::int32_t pid = child.pid;
  auto [entry, is_new] =
      processes_.emplace(generation, Process{.channel = std::move(channel),
                                             .child = std::move(child),
                                             .channel_open = asks,
                                             .start_ticks = os::start_time_ticks(pid).value_or(0)});
  auto watched = watch_end(generation);
  if (watched && asks) {
    watched = loop_.watch(entry->second.channel.fd(), EPOLLIN,
                          [this, generation](std::uint32_t) { on_channel(generation); });
  }
  if (!watched) {
    loop_.unwatch(entry->second.child.pidfd.get());
    (void)os::send_signal(entry->second.child.pidfd, SIGKILL);
    processes_.erase(entry);
    return watched;
  }
  programs_->started(generation, pid);
  post(Spawned{generation, pid});
  write_instances_file();
  return {};
}

bool Keeper::is_detecting() const {
  return component_->settings().contract.upgrade == to_string(control::Contract::automatic);
}

// The program that was started said hello: from here on it is as if that had been known before. The
// new decider learns what the old one knew by the same events; what it asks for was done already.
void Keeper::found_libsegue() {
  const Instance started = component_->instances().begin()->second;
  const RequestId request = component_->run_request();
  line_.contract.upgrade = to_string(control::Contract::libsegue);
  if (!line_.contract.listen.empty()) {
    execute(Step{"contract.sockets_unused",
                 {{"why", "a program that links libsegue binds its sockets itself"}},
                 true});
  }
  component_ = make_decider(started.generation - 1);
  const auto tell = [&](const Event& event) {
    (void)component_->handle(event, ownership(), clock_.monotonic_now());
  };
  tell(RunRequested{request, started.launch});
  tell(Spawned{started.generation, started.pid});
  for (const auto& name : programs_->listener_names()) manager_.forget(Kept::listener, name);
  programs_.reset();
  execute(Step{
      "contract.found", {{"contract", line_.contract.upgrade}, {"by", "it said hello"}}, true});
}

// A program's new main process: another one, or the same one as another instance.
void Keeper::adopt_process(Generation from, Generation as, pid_t pid) {
  auto pidfd = os::open_process(pid);
  if (!pidfd) return post(Exited{as, "had ended before it was followed", 0});
  const auto old = processes_.find(from);
  if (old != processes_.end() && (from == as || old->second.child.pid == pid)) {
    loop_.unwatch(old->second.child.pidfd.get());
    processes_.erase(old);
    if (from != as) programs_->ended(from);
  }
  processes_.emplace(as, Process{.channel = handoff::Link(handoff::UniqueFd()),
                                 .child = {.pid = pid, .pidfd = *std::move(pidfd)},
                                 .channel_open = false,
                                 .start_ticks = os::start_time_ticks(pid).value_or(0)});
  if (const auto watched = watch_end(as); !watched) {
    return post(Exited{as, "cannot be followed: " + watched.error().to_string(), 0});
  }
  programs_->started(as, pid);
  post(Spawned{as, pid});
  write_instances_file();
}

void Keeper::execute(const ProgramOrder& command) {
  if (programs_) programs_->execute(command);
}

}  // namespace segue::keeper
