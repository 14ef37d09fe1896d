// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/time.h"

namespace segue::os {

// Where time comes from. Everything outside os/ is given one, so that tests and simulations decide.
class Clock {
 public:
  Clock() = default;
  Clock(const Clock&) = delete;
  Clock& operator=(const Clock&) = delete;
  virtual ~Clock() = default;

  [[nodiscard]] virtual base::MonotonicTime monotonic_now() const = 0;
  [[nodiscard]] virtual base::RealTime realtime_now() const = 0;
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] base::MonotonicTime monotonic_now() const override;
  [[nodiscard]] base::RealTime realtime_now() const override;
};

// Stands still until it is told to advance; for tests.
class ManualClock final : public Clock {
 public:
  [[nodiscard]] base::MonotonicTime monotonic_now() const override { return monotonic_; }
  [[nodiscard]] base::RealTime realtime_now() const override { return realtime_; }

  void advance(base::Duration by) {
    monotonic_ += by;
    realtime_ += by;
  }

 private:
  base::MonotonicTime monotonic_{};
  base::RealTime realtime_{};
};

}  // namespace segue::os
