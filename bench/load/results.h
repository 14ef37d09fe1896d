// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "load/histogram.h"

namespace segue::load {

struct Counters {
  std::uint64_t requests = 0;  // over long-lived connections
  std::uint64_t answers = 0;
  std::uint64_t lost = 0;              // connections of the start that the server ended
  std::uint64_t lost_by_reset = 0;     // of these by RST
  std::uint64_t lost_again = 0;        // replacements of lost ones that the server ended too
  std::uint64_t cut = 0;               // lost or lost again while a request was unanswered
  std::uint64_t reconnect_failed = 0;  // attempts to replace a lost one
  std::uint64_t new_attempted = 0;
  std::uint64_t new_failed = 0;
  std::uint64_t wrong = 0;       // answers that are not what was asked for
  std::uint64_t overruns = 0;    // requests not made: too many unanswered on that connection
  std::uint64_t unanswered = 0;  // at the end
  std::uint64_t writes_acknowledged = 0;
  std::uint64_t keys_checked = 0;
  std::uint64_t writes_lost = 0;
  std::uint64_t writes_wrong = 0;
};

// How many of the connections of the start answer as the new version.
struct Probe {
  std::uint32_t number = 0;  // 0: none was asked for
  std::uint32_t answered = 0;
  std::uint32_t on_new = 0;
};

// Latencies from the intended start of a request to its answer.
class Results {
 public:
  static constexpr std::size_t kMaxIntervals = 16;

  Counters counters;
  Probe probe;
  Histogram held;           // requests on long-lived connections
  Histogram fresh;          // connect, request, answer
  std::string first_wrong;  // the first wrong answer, for people

  base::MonotonicTime worst_at{};  // when the answer came that was awaited longest

  void record_held(base::Duration latency, base::MonotonicTime now) {
    if (latency > held.max()) worst_at = now;
    held.record(latency);
    if (current_ < intervals_.size()) intervals_[current_].latency.record(latency);
  }

  // From now on answers count in the interval of that name too; one name may come more than once.
  base::Result<void> begin_interval(const std::string& name);

  struct Interval {
    std::string name;
    Histogram latency;
  };
  [[nodiscard]] const std::vector<Interval>& intervals() const { return intervals_; }

 private:
  std::vector<Interval> intervals_;
  std::size_t current_ = kMaxIntervals;
};

}  // namespace segue::load
