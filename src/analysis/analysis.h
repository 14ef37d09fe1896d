// SPDX-License-Identifier: Apache-2.0
// From measurements to a verdict. Pure: no clock, no I/O, no randomness; the same state comes of
// the same observations, on any host. Times are since any moment that the caller keeps for the
// whole life of a state, over restarts too.
//
//   State state = begin(rule, now);
//   SEGUE_ASSIGN(state, observe(rule, std::move(state), observation));   // as often as one likes
//   const Verdict verdict = judge(rule, state, now);                     // after each, if one
//   likes
//
// A rollout with several comparisons calls a good canary bad with a probability of at most the sum
// of their alphas, and, of those with a late watch, twice that: the watch has an alpha of its own.
// What is compared, and what has to hold for these bounds, is in evidence.h.
#pragma once

#include <string>
#include <vector>

#include "analysis/observation.h"
#include "analysis/rule.h"
#include "analysis/state.h"
#include "base/error.h"

namespace segue::analysis {

enum class Outcome : std::uint8_t { wait, good, bad };
const char* to_string(Outcome outcome);

struct Figure {
  std::string name;
  double value = 0;
};

struct Verdict {
  // Once bad, a state stays bad. Once good, a comparison stays good until it is bad; a threshold is
  // good as long as its last values are, and are recent.
  Outcome outcome = Outcome::wait;
  bool is_overdue = false;  // of `wait`: longer than the rule allows; it does not pass by itself
  std::string explanation;  // one sentence for a person, without its full stop
  std::vector<Figure> figures;
};

// `rule` passed check(), here and below.
State begin(const Rule& rule, milliseconds now);

// invalid_argument: an observation that check() refuses, or of an earlier time than the last.
// failed_precondition: the state is of another rule. The state is gone then: keep a copy, or begin
// anew. Arms whose ages do not fit are no error: they are counted, and the verdict says so.
base::Result<State> observe(const Rule& rule, State state, const Observation& observation);

// The same rule goes on after the last wave, for rule.late_watch. Good at its end, if the minimum
// of data came meanwhile and nothing bad was found. A second call changes nothing.
State begin_late_watch(const Rule& rule, State state, milliseconds now);

// `now` is no earlier than the last observation. Of another rule's state both are `wait`. decide()
// is judge() without its words, and quicker.
Outcome decide(const Rule& rule, const State& state, milliseconds now);
Verdict judge(const Rule& rule, const State& state, milliseconds now);

// {"outcome":…,"is_overdue":…,"explanation":…,"figures":{…}}
std::string write_verdict(const Verdict& verdict);

}  // namespace segue::analysis
