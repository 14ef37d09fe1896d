// SPDX-License-Identifier: Apache-2.0
#include "os/clock.h"

#include <chrono>

namespace segue::os {

base::MonotonicTime SystemClock::monotonic_now() const {
  return std::chrono::steady_clock::now();
}

base::RealTime SystemClock::realtime_now() const {
  return std::chrono::system_clock::now();
}

}  // namespace segue::os
