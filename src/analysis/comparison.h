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

// Latency from which on a request of the baseline was among its slowest, for people.
std::uint64_t quantile_us(const Histogram& histogram, double quantile);

}  // namespace segue::analysis
