// SPDX-License-Identifier: Apache-2.0
#include "handoff/departure.h"

#include "handoff/clock.h"
#include "handoff/peer.h"
#include "handoff/terms.h"

namespace segue::handoff {
namespace {

constexpr uint64_t kReportAfterNs = 1'000 * kMillisecond;
constexpr uint64_t kRaiseAfterNs = 10'000 * kMillisecond;

}  // namespace

Departure::Departure(UniqueFd predecessor_pidfd, uint64_t now)
    : pidfd_(std::move(predecessor_pidfd)), since_(now), over_(is_dead(pidfd_.get())) {}

uint64_t Departure::deadline() const {
  if (over_ || next_ == Next::nothing) return kNever;
  return since_ + (next_ == Next::report ? kReportAfterNs : kRaiseAfterNs);
}

std::string Departure::on_time(uint64_t now) {
  if (now < deadline()) return {};
  on_death();
  if (over_) return {};
  if (next_ == Next::report) {
    next_ = Next::raise;
    return report();
  }
  next_ = Next::nothing;
  return raise();
}

void Departure::on_death() {
  over_ = is_dead(pidfd_.get());
}

std::string Departure::report() const {
  return "the predecessor, process " + std::to_string(process_of(pidfd_.get())) +
         ", has not ended 1 s after the commit: it ends at low priority, and this host is busy; "
         "its "
         "priority is raised after 10 s";
}

std::string Departure::raise() const {
  const pid_t pid = process_of(pidfd_.get());
  const std::string who = "the predecessor, process " + std::to_string(pid) + ", ";
  if (const Status status = restore_priority(pid); !status.ok()) {
    return who + "has not ended 10 s after the commit, and its priority cannot be raised: " +
           status.text + " (an ordinary user needs `ulimit -e 20` or more, LimitNICE=+0 in a unit)";
  }
  return who + "had not ended 10 s after the commit: its priority was raised";
}

}  // namespace segue::handoff
