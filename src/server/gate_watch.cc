// SPDX-License-Identifier: Apache-2.0
#include "server/gate_watch.h"

#include <algorithm>
#include <array>
#include <utility>

#include "analysis/json_object.h"
#include "prometheus/query.h"

namespace segue::server {
namespace {

using analysis::Kind;
using analysis::Outcome;
using analysis::Rule;
using base::ErrorCode;
using base::fail;
using base::Result;
using fleet::Gate;
using fleet::GateKind;

constexpr std::uint64_t kFormat = 1;
constexpr std::array kStages = {"moving", "settled", "late"};
constexpr double kWhole = 1e6;
constexpr std::size_t kMaxStateBytes = 16 << 10;

Rule threshold_of(const Gate& gate, std::string name, double limit, analysis::Side side,
                  std::uint32_t bad, std::uint32_t good) {
  Rule rule = analysis::rule_of(Kind::threshold, std::move(name), gate.query);
  rule.threshold = {.limit = limit,
                    .bad_side = side,
                    .bad_observations = bad,
                    .good_observations = good,
                    .max_gap = std::max<milliseconds>(std::chrono::minutes(2), 3 * gate.every)};
  return rule;
}

Rule comparison_of(const Gate& gate) {
  const bool is_latency = gate.kind == GateKind::latency;
  Rule rule = analysis::rule_of(is_latency ? Kind::latency : Kind::rate, gate.name,
                                is_latency ? gate.canary.buckets : gate.canary.requests);
  rule.clusters = "clusters";
  rule.comparison = {.quantile = gate.quantile_ppm / kWhole,
                     .tolerance = gate.tolerance_ppm / kWhole,
                     .margin = gate.margin_ppm / kWhole,
                     .absolute_tolerance = gate.absolute_tolerance_ppm / kWhole,
                     .absolute_margin = gate.absolute_margin_ppm / kWhole,
                     .alpha = gate.alpha_ppm / kWhole,
                     .good_alpha = gate.good_alpha_ppm / kWhole,
                     .pass = gate.pass == fleet::GatePass::shown ? analysis::Pass::shown
                                                                 : analysis::Pass::unrefuted,
                     .minimum_clusters = gate.minimum_clusters,
                     .minimum_requests = gate.minimum_requests,
                     .minimum_time = gate.minimum_time,
                     .cluster_cap = gate.cluster_cap,
                     .warm_up = gate.warm_up,
                     .pair_within = std::max<milliseconds>(std::chrono::minutes(1), gate.every)};
  return rule;
}

// Why, of the first that has no answer.
std::string trouble_in(const MetricAnswers& answers) {
  for (const auto& answer : answers) {
    if (!answer) return answer.error().to_string();
  }
  return "";
}

}  // namespace

std::string_view to_string(GateStage stage) {
  return kStages.at(static_cast<std::size_t>(stage));
}

std::vector<Rule> rules_of(const Gate& gate, const GateTimes& times) {
  using analysis::Side;
  std::vector<Rule> rules;
  switch (gate.kind) {
    case GateKind::handoff:
      rules.push_back(threshold_of(gate, "connections lost", static_cast<double>(gate.lost),
                                   Side::above, 1, 1));
      if (gate.blackout_us != 0) {
        rules.push_back(threshold_of(gate, "blackout in microseconds",
                                     static_cast<double>(gate.blackout_us), Side::above, 1, 1));
      }
      break;
    case GateKind::health:
      rules.push_back(threshold_of(gate, "share of moved instances that are well", 1, Side::below,
                                   gate.bad_in_row, gate.good_in_row));
      break;
    case GateKind::query:
      rules.push_back(
          threshold_of(gate, gate.name, gate.limit,
                       gate.bad_side == fleet::GateSide::above ? Side::above : Side::below,
                       gate.bad_in_row, gate.good_in_row));
      break;
    case GateKind::compare:
    case GateKind::latency:
      rules.push_back(comparison_of(gate));
      break;
  }
  for (auto& rule : rules) {
    rule.wait_limit = times.gate_limit;
    rule.late_watch = times.late_watch;
  }
  return rules;
}

// ---- Looks

namespace {

// A figure counts when all have told; what is bad already does at once. Where nothing ran before
// nothing can be lost, which the sentence says.
GateLook look_at_handoffs(const Gate& gate, const MovedFigures& moved) {
  GateLook look;
  const bool is_whole = moved.untold == 0 && moved.handoffs + moved.started > 0;
  const auto value = [&](std::uint64_t figure, std::uint64_t limit) {
    analysis::Value seen;
    if (is_whole || figure > limit) seen.value = static_cast<double>(figure);
    look.contents.emplace_back(seen);
  };
  value(moved.lost, gate.lost);
  if (gate.blackout_us != 0) value(moved.worst_blackout_us, gate.blackout_us);
  if (moved.untold > 0) {
    look.trouble = fmt::format(
        "of {} instances that have moved {} told nothing of a handoff, first {}: its agent may "
        "have been started anew in the middle; promote the step, or undo the rollout",
        moved.handoffs + moved.started + moved.untold, moved.untold, moved.first_untold);
  } else if (!is_whole) {
    look.trouble = "nothing of this rollout has moved so far";
  } else if (moved.handoffs == 0) {
    look.note =
        fmt::format("no handoff was needed: on {} {} nothing ran before, or what was wanted did",
                    moved.started, moved.started == 1 ? "instance" : "instances");
  }
  return look;
}

}  // namespace

GateLook look_at(const Gate& gate, const MovedFigures& moved) {
  if (gate.kind == GateKind::handoff) return look_at_handoffs(gate, moved);
  GateLook look;
  const std::uint64_t known = moved.healthy + moved.unhealthy;
  analysis::Value seen;
  if (known > 0 && moved.unknown == 0) {
    seen.value = static_cast<double>(moved.healthy) / static_cast<double>(known);
  } else {
    look.trouble = fmt::format("of {} moved instances the health of {} is not known",
                               known + moved.unknown, moved.unknown);
  }
  look.contents.emplace_back(seen);
  return look;
}

std::vector<std::string> queries_of(const Gate& gate, const fleet::GateVersions& versions) {
  std::vector<std::string> queries;
  const auto add = [&](const std::string& text) {
    queries.push_back(fleet::query_of(text, versions).value_or(text));  // check() has read it
  };
  if (gate.kind == GateKind::query) add(gate.query);
  if (gate.kind == GateKind::compare) {
    for (const auto* arm : {&gate.canary, &gate.baseline}) {
      add(arm->requests);
      add(arm->failures);
    }
  }
  if (gate.kind == GateKind::latency) {
    add(gate.canary.buckets);
    add(gate.baseline.buckets);
  }
  return queries;
}

GateLook look_at(const Gate& gate, const MetricAnswers& answers) {
  GateLook look{.contents = {}, .trouble = trouble_in(answers)};
  if (gate.kind == GateKind::query) {
    analysis::Value seen;
    if (look.trouble.empty()) {
      const auto value = prometheus::single_value(*answers.at(0));
      if (value) {
        seen.value = *value;
      } else {
        look.trouble = value.error().message();
      }
    }
    look.contents.emplace_back(seen);
    return look;
  }
  if (gate.kind == GateKind::latency) {
    if (!look.trouble.empty()) return look;
    auto comparison = prometheus::latency_comparison(*answers.at(0), *answers.at(1));
    if (comparison) {
      look.contents.emplace_back(*std::move(comparison));
    } else {
      look.trouble = comparison.error().message();
    }
    return look;
  }
  analysis::Comparison comparison;
  const auto fill = [&](analysis::Arm& arm, std::size_t first) {
    if (!look.trouble.empty()) return;
    auto clusters = prometheus::rate_clusters(*answers.at(first), *answers.at(first + 1));
    if (clusters) {
      arm.clusters = *std::move(clusters);
    } else {
      look.trouble = clusters.error().message();
    }
  };
  fill(comparison.canary, 0);
  fill(comparison.baseline, 2);
  // Of one arm alone nothing is told: what failed to answer may be what was bad.
  if (look.trouble.empty()) look.contents.emplace_back(std::move(comparison));
  return look;
}

// ---- One gate

GateWatch::GateWatch(Gate gate, GateTimes times, std::uint32_t step, milliseconds now)
    : gate_(std::move(gate)),
      times_(times),
      step_(step),
      rules_(rules_of(gate_, times)),
      begun_(now) {
  for (const auto& rule : rules_) states_.push_back(analysis::begin(rule, now));
}

milliseconds GateWatch::later(milliseconds now) const {
  for (const auto& state : states_) now = std::max(now, state.last_at);
  return now;
}

void GateWatch::enter(GateStage stage, milliseconds now) {
  now = later(now);
  if (stage == stage_) return;
  const bool begins_bake = stage == GateStage::settled;
  stage_ = stage;
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    const bool is_bad = analysis::decide(rules_[i], states_[i], now) == Outcome::bad;
    // Values from before the last host had moved are no part of a good row.
    if (begins_bake && rules_[i].kind == Kind::threshold && !is_bad) {
      states_[i] = analysis::begin(rules_[i], now);
    }
    if (stage == GateStage::late) {
      states_[i] = analysis::begin_late_watch(rules_[i], std::move(states_[i]), now);
    }
  }
}

void GateWatch::take(const GateLook& look, milliseconds now) {
  now = later(now);
  last_look_ = now;
  trouble_ = look.trouble;
  note_ = look.note;
  for (std::size_t i = 0; i < std::min(look.contents.size(), rules_.size()); ++i) {
    analysis::Observation observation{.at = now, .content = {}};
    if (const auto* value = std::get_if<analysis::Value>(&look.contents[i])) {
      observation.content = *value;
    } else {
      auto comparison = std::get<analysis::Comparison>(look.contents[i]);
      comparison.canary.age = now - begun_;
      comparison.baseline.age = now - begun_;
      observation.content = std::move(comparison);
    }
    auto state = analysis::observe(rules_[i], states_[i], observation);
    if (state) {
      states_[i] = *std::move(state);
    } else {
      trouble_ = state.error().message();
    }
  }
}

rollout::GateState GateWatch::judge(milliseconds now) const {
  now = later(now);
  bool is_bad = false;
  bool is_good = true;
  std::string text;
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    const analysis::Verdict verdict = analysis::judge(rules_[i], states_[i], now);
    is_bad = is_bad || verdict.outcome == Outcome::bad;
    is_good = is_good && verdict.outcome == Outcome::good;
    text += (text.empty() ? "" : "; ") + verdict.explanation;
  }
  rollout::GateState state;
  if (is_bad) {
    state.verdict = rollout::Verdict::bad;
  } else if (is_good && stage_ != GateStage::moving) {
    state.verdict = rollout::Verdict::good;
  }
  if (is_good && stage_ == GateStage::moving) text += "; it counts once all have moved";
  if (!note_.empty()) text += "; " + note_;
  if (!trouble_.empty()) text += "; last time: " + trouble_;
  state.text = std::move(text);
  return state;
}

// ---- Kept

std::string GateWatch::write() const {
  analysis::Json states = analysis::Json::array();
  for (const auto& state : states_) states.push_back(analysis::write_state(state));
  return analysis::one_line({{"segue_gate", kFormat},
                             {"step", step_},
                             {"stage", to_string(stage_)},
                             {"begun_ms", begun_.count()},
                             {"last_look_ms", last_look_.count()},
                             {"states", std::move(states)}});
}

Result<void> GateWatch::resume(std::string_view document) {
  if (document.size() > kMaxBytes) return fail(ErrorCode::data_loss, "the gate is too long");
  SEGUE_ASSIGN(auto object, analysis::JsonObject::parse(document, "the gate"));
  SEGUE_ASSIGN(const std::uint64_t format, object.count("segue_gate", UINT32_MAX));
  SEGUE_ASSIGN(const std::uint64_t step, object.count("step", UINT32_MAX));
  if (format != kFormat || step != step_) {
    return fail(ErrorCode::failed_precondition, "it is of another step, or of a newer version");
  }
  SEGUE_ASSIGN(const std::size_t stage, object.word("stage", kStages));
  constexpr auto kLatest = static_cast<std::uint64_t>(analysis::kLatestTime.count());
  SEGUE_ASSIGN(const std::uint64_t begun, object.count("begun_ms", kLatest));
  SEGUE_ASSIGN(const std::uint64_t last_look, object.count("last_look_ms", kLatest));
  SEGUE_ASSIGN(const auto texts, object.take("states"));
  SEGUE_TRY(object.end());
  if (!texts.is_array() || texts.size() != rules_.size()) {
    return fail(ErrorCode::failed_precondition, "it is of a gate with other rules");
  }
  std::vector<analysis::State> states;
  for (const auto& text : texts) {
    if (!text.is_string() || text.get_ref<const std::string&>().size() > kMaxStateBytes) {
      return fail(ErrorCode::data_loss, "the gate: 'states' are no states");
    }
    SEGUE_ASSIGN(auto state, analysis::read_state(text.get_ref<const std::string&>()));
    if (state.rule != analysis::fingerprint(rules_[states.size()])) {
      return fail(ErrorCode::failed_precondition, "it is of a gate with other numbers");
    }
    states.push_back(std::move(state));
  }
  states_ = std::move(states);
  stage_ = static_cast<GateStage>(stage);
  begun_ = milliseconds(static_cast<std::int64_t>(begun));
  last_look_ = milliseconds(static_cast<std::int64_t>(last_look));
  return {};
}

}  // namespace segue::server
