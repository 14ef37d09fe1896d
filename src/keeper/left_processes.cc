// SPDX-License-Identifier: Apache-2.0
#include "keeper/left_processes.h"

#include <utility>

#include "handoff/peer.h"
#include "os/process.h"

namespace segue::keeper {

std::vector<LeftProcess> living_of(const std::vector<SavedProcess>& processes) {
  std::vector<LeftProcess> left;
  for (const SavedProcess& saved : processes) {
    auto pidfd = os::open_process(saved.pid);
    const auto ticks = os::start_time_ticks(saved.pid);
    if (!pidfd || !ticks || *ticks != saved.start_ticks || handoff::is_dead(pidfd->get())) continue;
    left.push_back({saved, *std::move(pidfd)});
  }
  return left;
}

}  // namespace segue::keeper
