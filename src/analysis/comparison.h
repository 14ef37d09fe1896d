// SPDX-License-Identifier: Apache-2.0
// Gathers what two arms did into a state: pairs clusters of the same time, and bets on each pair.
#pragma once

#include "analysis/observation.h"
#include "analysis/state.h"

namespace segue::analysis {

// Whether arms of these ages can be compared. `why` is left as it is if so.
bool is_comparable(const ComparisonRule& rule, milliseconds canary_age, milliseconds baseline_age);

// `comparison` fits the rule, which is one of rate or latency.
void gather(const Rule& rule, State& state, const Comparison& comparison);

// What a rule of latency comes to between the edges that its latencies are known by.
struct Resolution {
  std::uint64_t baseline_us = 0;  // slower than this counts in the baseline; 0: none is so far up
  std::uint64_t worse_us = 0;     // … in the canary, for bad; 0: nothing does, no edge is so far up
  std::uint64_t acceptable_us = 0;  // … in the canary, for good
  std::uint64_t finer_us = 0;       // the next edge above baseline_us; 0: there is none
};
// Of edges that are not empty. `baseline`: the first bucket that no more than a share of
// 1 - quantile of the baseline is at or above.
Resolution resolution_of(const ComparisonRule& rule, const std::vector<std::uint64_t>& edges_us,
                         Bucket baseline);

// Latency from which on a request of the baseline was among its slowest, for people.
std::uint64_t quantile_us(const Histogram& histogram, double quantile);

}  // namespace segue::analysis
