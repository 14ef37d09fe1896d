// SPDX-License-Identifier: Apache-2.0
// For tests: time that stands still until the next call is due.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <utility>

#include "store/scheduler.h"

namespace segue::store {

class TestScheduler final : public Scheduler {
 public:
  [[nodiscard]] base::MonotonicTime now() const override { return now_; }
  void call_at(base::MonotonicTime at, std::function<void()> call) override {
    calls_.emplace(std::pair(std::max(at, now_), next_++), std::move(call));
  }

  // The next call, and the time it was for; false: there is none.
  bool step() {
    if (calls_.empty()) return false;
    auto next = calls_.extract(calls_.begin());
    now_ = next.key().first;
    next.mapped()();
    return true;
  }
  // Until the condition holds; false: nothing is left, or it takes longer than `limit`.
  template <class Condition>
  bool run_until(const Condition& condition, base::Duration limit = std::chrono::hours(1)) {
    const base::MonotonicTime end = now_ + limit;
    while (!condition()) {
      if (calls_.empty() || calls_.begin()->first.first > end) return false;
      step();
    }
    return true;
  }
  void run_for(base::Duration time) {
    const base::MonotonicTime end = now_ + time;
    static_cast<void>(run_until([] { return false; }, time));
    now_ = end;
  }

 private:
  base::MonotonicTime now_{};
  std::uint64_t next_ = 0;
  std::map<std::pair<base::MonotonicTime, std::uint64_t>, std::function<void()>> calls_;
};

}  // namespace segue::store
