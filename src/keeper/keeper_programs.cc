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

std::unique_ptr<Decider> Keeper::make_decider() const {
  Decider::Settings settings{.name = line_.name,
                             .output_prefix = line_.foreground ? "" : output_.prefix(),
                             .run = line_.run,
                             .contract = line_.contract,
                             .health = line_.health,
                             .last_generation = output_.last_generation()};
  if (line_.contract.upgrade == to_string(control::Contract::libsegue)) {
    return std::make_unique<Component>(std::move(settings));
  }
  return std::make_unique<ProgramComponent>(std::move(settings));
}

Result<void> Keeper::prepare_programs() {
  if (line_.contract.upgrade == to_string(control::Contract::libsegue)) return {};
  SEGUE_ASSIGN(programs_,
               ProgramHost::create(loop_, clock_, line_.contract, paths_.runtime,
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
  SEGUE_ASSIGN(os::Child child, os::spawn(options));
  const std::int32_t pid = child.pid;
  processes_.emplace(generation, Process{.channel = handoff::Link(handoff::UniqueFd()),
                                         .child = std::move(child),
                                         .channel_open = false});
  if (auto watched = watch_end(generation); !watched) {
    (void)os::send_signal(processes_.at(generation).child.pidfd, SIGKILL);
    processes_.erase(generation);
    return watched;
  }
  programs_->started(generation, pid);
  post(Spawned{generation, pid});
  write_instances_file();
  return {};
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
                                 .channel_open = false});
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
