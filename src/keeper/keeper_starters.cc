// SPDX-License-Identifier: Apache-2.0
// Instances that are another process than the one that the keeper started: it runs them in a
// container, or wraps them. Whoever says hello is the instance; it is watched, signalled and
// fenced.
#include <fmt/format.h>
#include <signal.h>
#include <sys/epoll.h>

#include <utility>

#include "keeper/keeper.h"
#include "os/process.h"

namespace segue::keeper {
namespace {

using base::Result;

// For the parent of a process that has ended to see it.
constexpr base::Duration kSeenWithin = std::chrono::milliseconds(50);

}  // namespace

void Keeper::note_sender(Generation generation, handoff::MessageOrigin sender) {
  Process& process = processes_.at(generation);
  process.channel.name_senders(false);
  if (sender.pid == process.child.pid) return;
  if (sender.pid <= 0) {
    return close_channel(generation,
                         "its process is not seen from the keeper's PID namespace, so that it "
                         "could not be ended");
  }
  os::UniqueFd pidfd(sender.pidfd.release());
  if (!pidfd) {  // before Linux 6.5
    auto opened = os::open_process(sender.pid);
    if (!opened) return close_channel(generation, "it ended as it said hello");
    pidfd = *std::move(opened);
  }
  loop_.unwatch(process.child.pidfd.get());
  os::Child starter =
      std::exchange(process.child, os::Child{.pid = sender.pid, .pidfd = std::move(pidfd)});
  process.is_child = false;
  process.start_ticks = os::start_time_ticks(sender.pid).value_or(0);
  const auto watched = watch_end(generation);
  const auto kept = keep_starter(generation, std::move(starter));
  if (!watched || !kept) {
    (void)os::send_signal(process.child.pidfd, SIGKILL);
    return close_channel(generation, "too many descriptors are watched");
  }
  post(Spawned{generation, sender.pid});
  write_instances_file();
}

Result<void> Keeper::keep_starter(Generation generation, os::Child starter) {
  const int pidfd = starter.pidfd.get();
  starters_.insert_or_assign(generation, std::move(starter));
  return loop_.watch(pidfd, EPOLLIN,
                     [this, generation](std::uint32_t) { on_starter_exit(generation); });
}

// The instance does not need it any more: it goes on, the keeper's as before.
void Keeper::on_starter_exit(Generation generation) {
  const auto found = starters_.find(generation);
  if (found == starters_.end()) return;
  const auto status = os::wait_for_exit(found->second.pidfd, base::Duration(0));
  if (status && !*status) return;
  const std::string how = status ? (*status)->to_string() : "ended";
  loop_.unwatch(found->second.pidfd.get());
  starters_.erase(found);
  if (!processes_.contains(generation)) return;
  execute(Step{
      "instance.starter_ended", {{"generation", fmt::to_string(generation)}, {"how", how}}, false});
}

// nullopt: it is not known.
Result<std::optional<os::ExitStatus>> Keeper::end_of(Generation generation) const {
  const Process& process = processes_.at(generation);
  if (process.is_child) return os::wait_for_exit(process.child.pidfd, base::Duration(0));
  if (!starters_.contains(generation)) return std::optional<os::ExitStatus>();
  return os::exit_of(process.child.pidfd, kSeenWithin);
}

void Keeper::fence(Generation generation, handoff::OwnerName other) {
  const auto named = owner_names_.find(other);
  if (named == owner_names_.end()) return;
  post(FenceAsked{generation, named->second});
}

}  // namespace segue::keeper
