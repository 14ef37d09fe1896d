// SPDX-License-Identifier: Apache-2.0
#include "load/results.h"

#include <algorithm>

namespace segue::load {

base::Result<void> Results::begin_interval(const std::string& name) {
  const auto found = std::find_if(intervals_.begin(), intervals_.end(),
                                  [&](const Interval& interval) { return interval.name == name; });
  if (found != intervals_.end()) {
    current_ = static_cast<std::size_t>(found - intervals_.begin());
    return {};
  }
  if (intervals_.size() == kMaxIntervals) {
    return base::fail(base::ErrorCode::resource_exhausted, "more than {} intervals: '{}' is one",
                      kMaxIntervals, name);
  }
  current_ = intervals_.size();
  intervals_.push_back({.name = name, .latency = {}});
  return {};
}

}  // namespace segue::load
