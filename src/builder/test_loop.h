// SPDX-License-Identifier: Apache-2.0
// An event loop for tests that runs until something is true.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <utility>

#include "os/clock.h"
#include "os/epoll_loop.h"

namespace segue::builder {

struct TestLoop {
  template <class Condition>
  [[nodiscard]] bool run_until(const Condition& condition) {
    const auto deadline = clock.monotonic_now() + std::chrono::seconds(40);
    while (!condition()) {
      if (clock.monotonic_now() > deadline) return false;
      EXPECT_TRUE(loop.run_once(std::chrono::milliseconds(100)));
    }
    return true;
  }

  os::SystemClock clock;
  os::EpollLoop loop = *os::EpollLoop::create(clock);
};

}  // namespace segue::builder
