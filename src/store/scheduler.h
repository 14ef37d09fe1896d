// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "base/time.h"

namespace segue::store {

// Where callbacks run and where time comes from: a loop (loop_scheduler.h), or a simulation.
class Scheduler {
 public:
  Scheduler() = default;
  Scheduler(const Scheduler&) = delete;
  Scheduler& operator=(const Scheduler&) = delete;
  virtual ~Scheduler() = default;

  [[nodiscard]] virtual base::MonotonicTime now() const = 0;
  // At `at` or soon after, in the order of the times, and at one time in the order of the calls;
  // never inside this call.
  virtual void call_at(base::MonotonicTime at, std::function<void()> call) = 0;
  void call_soon(std::function<void()> call) { call_at(now(), std::move(call)); }
};

}  // namespace segue::store
