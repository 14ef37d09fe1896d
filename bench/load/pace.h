// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>

#include "base/time.h"

namespace segue::load {

// The due times of a steady stream of events: `events` of them in every `period`, evenly spread,
// each moved up to the next multiple of kTick so that one wake-up serves several. An event's due
// time is when it was meant to happen, whatever happened to the events before it.
class Pace {
 public:
  static constexpr base::Duration kTick = std::chrono::milliseconds(1);

  // Never due.
  Pace() = default;
  Pace(base::MonotonicTime start, base::Duration period, std::uint32_t events)
      : start_(start), period_(period), events_(events), due_(events == 0 ? kNever : start) {}

  [[nodiscard]] base::MonotonicTime due() const { return due_; }
  // Counts from 0.
  [[nodiscard]] std::uint64_t index() const { return index_; }

  void advance() {
    ++index_;
    const auto offset_ns = index_ * static_cast<std::uint64_t>(period_.count()) / events_;
    constexpr auto kTickNs = static_cast<std::uint64_t>(kTick.count());
    const auto rounded_ns = (offset_ns + kTickNs - 1) / kTickNs * kTickNs;
    due_ = start_ + base::Duration(static_cast<std::int64_t>(rounded_ns));
  }

 private:
  static constexpr base::MonotonicTime kNever = base::MonotonicTime::max();

  base::MonotonicTime start_{};
  base::Duration period_{};
  std::uint32_t events_ = 0;
  std::uint64_t index_ = 0;
  base::MonotonicTime due_ = kNever;
};

}  // namespace segue::load
