// SPDX-License-Identifier: Apache-2.0
// Puts a verdict in words and figures.
#pragma once

#include "analysis/analysis.h"

namespace segue::analysis {

// Whether both arms have the minimum of data and of time; in a late watch, of those since its
// begin.
bool has_minimum(const Rule& rule, const State& state, milliseconds now);

// Fills in explanation and figures; the outcome is there.
void explain(const Rule& rule, const State& state, milliseconds now, Verdict& verdict);

}  // namespace segue::analysis
