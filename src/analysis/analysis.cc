// SPDX-License-Identifier: Apache-2.0
#include "analysis/analysis.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "analysis/comparison.h"
#include "analysis/explanation.h"
#include "base/json_writer.h"

namespace segue::analysis {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

void take_value(const ThresholdRule& rule, State& state, const Value& value) {
  ThresholdState& gathered = state.threshold;
  const milliseconds at = state.last_at;
  if (!value.value) {
    ++gathered.missing;
    return;
  }
  const double now = *value.value;
  const bool is_above = rule.bad_side == Side::above;
  if (gathered.values > 0 && at - gathered.last_value_at > rule.max_gap) {
    gathered.bad_row = 0;
    gathered.good_row = 0;
  }
  gathered.worst = gathered.values == 0 ? now
                   : is_above           ? std::max(gathered.worst, now)
                                        : std::min(gathered.worst, now);
  gathered.last = now;
  gathered.last_value_at = at;
  ++gathered.values;
  if (is_above ? now > rule.limit : now < rule.limit) {
    if (gathered.bad_row++ == 0) gathered.bad_since = at;
    gathered.good_row = 0;
    gathered.is_bad = gathered.is_bad || (gathered.bad_row >= rule.bad_observations &&
                                          at - gathered.bad_since >= rule.bad_for);
  } else {
    if (gathered.good_row++ == 0) gathered.good_since = at;
    gathered.bad_row = 0;
  }
}

bool is_steadily_good(const ThresholdRule& rule, const ThresholdState& gathered, milliseconds now) {
  return gathered.good_row >= rule.good_observations &&
         gathered.last_value_at - gathered.good_since >= rule.good_for &&
         now - gathered.last_value_at <= rule.max_gap;
}

Outcome outcome_of_threshold(const Rule& rule, const State& state, milliseconds now) {
  if (state.threshold.is_bad) return Outcome::bad;
  if (!is_steadily_good(rule.threshold, state.threshold, now)) return Outcome::wait;
  if (!state.late) return Outcome::good;
  const bool is_over = now - state.late->since >= rule.late_watch;
  const std::uint64_t values = state.threshold.values - state.late->values;
  return is_over && values >= rule.threshold.good_observations ? Outcome::good : Outcome::wait;
}

Outcome outcome_of_comparison(const Rule& rule, const State& state, milliseconds now) {
  const ComparisonRule& comparison = rule.comparison;
  const double needed = -std::log(comparison.alpha);
  if (state.comparison.max_log_worse >= needed) return Outcome::bad;
  if (state.late && state.late->max_log_worse >= needed) return Outcome::bad;
  if (!has_minimum(rule, state, now)) return Outcome::wait;
  if (state.late) {
    return now - state.late->since >= rule.late_watch ? Outcome::good : Outcome::wait;
  }
  if (comparison.pass == Pass::unrefuted) return Outcome::good;
  return state.comparison.max_log_acceptable >= -std::log(comparison.good_alpha) ? Outcome::good
                                                                                 : Outcome::wait;
}

}  // namespace

const char* to_string(Outcome outcome) {
  switch (outcome) {
    case Outcome::wait:
      return "wait";
    case Outcome::good:
      return "good";
    case Outcome::bad:
      return "bad";
  }
  return "";
}

State begin(const Rule& rule, milliseconds now) {
  State state;
  state.rule = fingerprint(rule);
  state.begun = now;
  state.last_at = now;
  return state;
}

Result<State> observe(const Rule& rule, State state, const Observation& observation) {
  if (state.rule != fingerprint(rule)) {
    return fail(ErrorCode::failed_precondition,
                "rule '{}': what was gathered is of another rule: begin anew", rule.name);
  }
  if (auto checked = check(observation, rule.kind); !checked) {
    return fail(std::move(checked).error().with(fmt::format("rule '{}'", rule.name)));
  }
  if (observation.at < state.last_at) {
    return fail(ErrorCode::invalid_argument,
                "rule '{}': an observation of {} ms came after one of {} ms", rule.name,
                observation.at.count(), state.last_at.count());
  }
  state.last_at = observation.at;
  ++state.observations;
  if (const auto* value = std::get_if<Value>(&observation.content)) {
    take_value(rule.threshold, state, *value);
  } else {
    gather(rule, state, std::get<Comparison>(observation.content));
  }
  return state;
}

State begin_late_watch(const Rule& /*rule*/, State state, milliseconds now) {
  if (state.late) return state;
  LateWatch& late = state.late.emplace();
  late.since = std::max(now, state.last_at);
  late.canary = state.comparison.canary;
  late.baseline = state.comparison.baseline;
  late.values = state.threshold.values;
  return state;
}

Outcome decide(const Rule& rule, const State& state, milliseconds now) {
  if (state.rule != fingerprint(rule)) return Outcome::wait;
  return rule.kind == Kind::threshold ? outcome_of_threshold(rule, state, now)
                                      : outcome_of_comparison(rule, state, now);
}

Verdict judge(const Rule& rule, const State& state, milliseconds now) {
  Verdict verdict;
  verdict.outcome = decide(rule, state, now);
  const milliseconds since = state.late ? state.late->since + rule.late_watch : state.begun;
  verdict.is_overdue = verdict.outcome == Outcome::wait && now - since >= rule.wait_limit;
  if (state.rule != fingerprint(rule)) {
    verdict.explanation =
        fmt::format("{}: what was gathered is of another rule: begin anew", rule.name);
  } else {
    explain(rule, state, now, verdict);
  }
  return verdict;
}

std::string write_verdict(const Verdict& verdict) {
  base::JsonWriter json;
  json.begin_object()
      .field("outcome", to_string(verdict.outcome))
      .field("is_overdue", verdict.is_overdue)
      .field("explanation", verdict.explanation)
      .key("figures")
      .begin_object();
  for (const Figure& figure : verdict.figures) json.field(figure.name, figure.value);
  json.end().end();
  return std::move(json).take();
}

}  // namespace segue::analysis
