// SPDX-License-Identifier: Apache-2.0
#include "os/clock_changes.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <limits>
#include <utility>

namespace segue::os {

base::Result<ClockChanges> ClockChanges::watch() {
  UniqueFd timer(::timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!timer) return base::fail(base::errno_error("make a timer of the time of day", errno));
  ClockChanges changes(std::move(timer));
  SEGUE_TRY(changes.arm());
  return changes;
}

base::Result<void> ClockChanges::arm() const {
  itimerspec never{};
  never.it_value.tv_sec = std::numeric_limits<std::int32_t>::max();
  constexpr int kFlags = TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET;
  if (::timerfd_settime(timer_.get(), kFlags, &never, nullptr) == 0) return {};
  return base::fail(base::errno_error("set a timer of the time of day", errno));
}

void ClockChanges::acknowledge() {
  std::uint64_t expired = 0;
  [[maybe_unused]] const auto got = ::read(timer_.get(), &expired, sizeof expired);  // ECANCELED
}

}  // namespace segue::os
