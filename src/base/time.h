// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>

// Types only. Nobody reads a clock but os/: whoever needs the time is given it, or a Clock.
namespace segue::base {

using Duration = std::chrono::nanoseconds;

// Never goes back; for deadlines and for measuring. It has no meaning on another host.
using MonotonicTime = std::chrono::time_point<std::chrono::steady_clock, Duration>;

// The time of day; may jump. For people, and for what hosts agreed on beforehand.
using RealTime = std::chrono::time_point<std::chrono::system_clock, Duration>;

}  // namespace segue::base
