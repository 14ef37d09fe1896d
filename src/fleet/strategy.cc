// SPDX-License-Identifier: Apache-2.0
#include "fleet/strategy.h"

#include <algorithm>
#include <set>
#include <utility>

#include "fleet/words.h"

namespace segue::fleet {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr Words<Selection, 7> kSelections = {{{Selection::count, "count"},
                                              {Selection::percent, "percent"},
                                              {Selection::site, "site"},
                                              {Selection::label, "label"},
                                              {Selection::each_site, "each-site"},
                                              {Selection::each_label, "each-label"},
                                              {Selection::rest, "rest"}}};
constexpr Words<StrategyKind, 4> kKinds = {{{StrategyKind::rolling, "rolling"},
                                            {StrategyKind::canary, "canary"},
                                            {StrategyKind::blue_green, "blue-green"},
                                            {StrategyKind::all_at_once, "all-at-once"}}};
constexpr Words<Split, 3> kSplits = {
    {{Split::kernel, "kernel"}, {Split::proxy, "proxy"}, {Split::hosts, "hosts"}}};
constexpr Words<Baseline, 2> kBaselines = {
    {{Baseline::running, "running"}, {Baseline::renewed, "renewed"}}};
constexpr Words<OnBad, 2> kReactions = {{{OnBad::undo, "undo"}, {OnBad::pause, "pause"}}};
constexpr Words<MeanwhilePolicy, 2> kPolicies = {
    {{MeanwhilePolicy::queue, "queue"}, {MeanwhilePolicy::supersede, "supersede"}}};

constexpr std::uint64_t kMaxSalt = std::uint64_t{1} << 63;

Result<void> check_time(const std::string& place, milliseconds time) {
  if (time >= milliseconds(0) && time <= Strategy::kMaxTime) return {};
  return fail(ErrorCode::invalid_argument, "{}: a time is between 0 s and a year", place);
}

Result<void> check_word(const std::string& place, const std::string& word) {
  if (word.empty() || word.size() > Strategy::kMaxWordBytes) {
    return fail(ErrorCode::invalid_argument, "{}: has to be 1 to {} bytes, and has {}", place,
                Strategy::kMaxWordBytes, word.size());
  }
  if (std::ranges::none_of(word, [](char c) { return c >= 0 && c < ' '; })) return {};
  return fail(ErrorCode::invalid_argument, "{}: it holds a control character", place);
}

Result<void> check_amount(const std::string& place, Amount amount) {
  if (!amount.is_percent || amount.value <= 100) return {};
  return fail(ErrorCode::invalid_argument, "{}: {}% is more than all hosts; at most 100%", place,
              amount.value);
}

Result<void> check_gates(const std::string& place, const std::vector<std::string>& gates) {
  if (gates.size() > Strategy::kMaxGates) {
    return fail(ErrorCode::invalid_argument, "{}: {} gates, at most {}", place, gates.size(),
                Strategy::kMaxGates);
  }
  std::set<std::string> known;
  for (std::size_t i = 0; i < gates.size(); ++i) {
    const std::string its_place = fmt::format("{}[{}]", place, i);
    SEGUE_TRY(check_word(its_place, gates[i]));
    if (!known.insert(gates[i]).second) {
      return fail(ErrorCode::invalid_argument, "{}: gate '{}' is named twice; name it once",
                  its_place, gates[i]);
    }
  }
  return {};
}

Result<void> check_approvals(const std::string& place, std::uint32_t approvals) {
  if (approvals <= Strategy::kMaxApprovals) return {};
  return fail(ErrorCode::invalid_argument, "{}: {} persons, at most {}", place, approvals,
              Strategy::kMaxApprovals);
}

Result<void> check_limits(const std::string& place, const StepLimits& limits) {
  SEGUE_TRY(check_amount(place + ".max_unavailable", limits.max_unavailable));
  if (limits.max_unavailable.value == 0) {
    return fail(ErrorCode::invalid_argument,
                "{}.max_unavailable: with 0 no host could ever be moved; at least 1", place);
  }
  SEGUE_TRY(check_amount(place + ".max_failures", limits.max_failures));
  SEGUE_TRY(check_amount(place + ".max_silent", limits.max_silent));
  SEGUE_TRY(check_time(place + ".bake", limits.bake));
  SEGUE_TRY(check_approvals(place + ".approvals", limits.approvals));
  return check_gates(place + ".gates", limits.gates);
}

Result<void> check_selection(const std::string& place, const Wave& wave) {
  const bool counted = wave.selection == Selection::count || wave.selection == Selection::percent;
  if (counted && wave.amount == 0) {
    return fail(ErrorCode::invalid_argument, "{}: a wave of 0 hosts; at least 1", place);
  }
  if (wave.selection == Selection::percent && wave.amount > 100) {
    return fail(ErrorCode::invalid_argument, "{}: {}% is more than all hosts; at most 100%", place,
                wave.amount);
  }
  if (wave.repeated && !counted) {
    return fail(ErrorCode::invalid_argument, "{}: only a count or a percentage can be repeated",
                place);
  }
  const bool named = wave.selection == Selection::site || wave.selection == Selection::label ||
                     wave.selection == Selection::each_label;
  if (named) SEGUE_TRY(check_word(place + ".word", wave.word));
  if (wave.selection == Selection::label && wave.word.find('=') == std::string::npos) {
    return fail(ErrorCode::invalid_argument, "{}.word: label '{}' has to be KEY=VALUE", place,
                wave.word);
  }
  return {};
}

Result<void> check_wave(const Strategy& strategy, std::size_t index) {
  const Wave& wave = strategy.waves[index];
  const std::string place = fmt::format("waves[{}]", index);
  SEGUE_TRY(check_selection(place, wave));
  if (!wave.name.empty()) SEGUE_TRY(check_word(place + ".name", wave.name));
  if (wave.limits) SEGUE_TRY(check_limits(place, *wave.limits));
  const bool takes_all = wave.selection == Selection::rest || wave.repeated ||
                         wave.selection == Selection::each_site ||
                         wave.selection == Selection::each_label;
  if (takes_all && index + 1 < strategy.waves.size()) {
    return fail(ErrorCode::invalid_argument,
                "{}: takes all hosts that are left, so no wave can come after it", place);
  }
  return {};
}

Result<void> check_canary(const Canary& canary) {
  if (canary.steps.empty() || canary.steps.size() > Strategy::kMaxCanarySteps) {
    return fail(ErrorCode::invalid_argument, "canary.steps: between 1 and {} steps, not {}",
                Strategy::kMaxCanarySteps, canary.steps.size());
  }
  std::uint32_t before = 0;
  for (std::size_t i = 0; i < canary.steps.size(); ++i) {
    const CanaryStep& step = canary.steps[i];
    const std::string place = fmt::format("canary.steps[{}]", i);
    if (step.share_ppm > kWholeShare || step.share_ppm < before) {
      return fail(ErrorCode::invalid_argument,
                  "{}.share: {}% comes after {}%; shares grow, up to 100%", place,
                  step.share_ppm / 10'000.0, before / 10'000.0);
    }
    before = step.share_ppm;
    SEGUE_TRY(check_limits(place, step.limits));
  }
  SEGUE_TRY(check_amount("canary.on", canary.on));
  if (canary.on.value == 0 && canary.split != Split::hosts) {
    return fail(ErrorCode::invalid_argument, "canary.on: a canary on 0 hosts; at least 1");
  }
  if (canary.baseline == Baseline::renewed && canary.split == Split::hosts) {
    return fail(ErrorCode::invalid_argument,
                "canary.baseline: where the canary's hosts have no second slot no stable one runs "
                "beside it; use split: kernel or proxy, or baseline: running");
  }
  if (canary.salt >= kMaxSalt) {
    return fail(ErrorCode::invalid_argument, "canary.salt: has to be below 2^63");
  }
  return {};
}

Result<void> check_definitions(const std::vector<Gate>& gates) {
  if (gates.size() > Strategy::kMaxGates) {
    return fail(ErrorCode::invalid_argument, "gates: {} of them, at most {}", gates.size(),
                Strategy::kMaxGates);
  }
  std::set<std::string> known;
  for (const auto& gate : gates) {
    if (const auto fine = check(gate); !fine) {
      return fail(ErrorCode::invalid_argument, "gates.{}.{}", gate.name, fine.error().message());
    }
    if (!known.insert(gate.name).second) {
      return fail(ErrorCode::invalid_argument, "gates.{}: there twice", gate.name);
    }
  }
  return {};
}

Result<void> check_times(const Strategy& strategy) {
  SEGUE_TRY(check_time("undo_window", strategy.undo_window));
  SEGUE_TRY(check_time("late_watch", strategy.late_watch));
  SEGUE_TRY(check_time("first_retry", strategy.first_retry));
  SEGUE_TRY(check_time("order_limit", strategy.order_limit));
  SEGUE_TRY(check_time("gate_limit", strategy.gate_limit));
  if (strategy.first_retry == milliseconds(0) || strategy.order_limit == milliseconds(0) ||
      strategy.gate_limit == milliseconds(0)) {
    return fail(ErrorCode::invalid_argument,
                "first_retry, order_limit and gate_limit: have to be longer than 0 s");
  }
  return {};
}

}  // namespace

std::string_view to_string(Selection selection) {
  return word_of(kSelections, selection);
}
std::optional<Selection> selection_of(std::string_view word) {
  return value_of(kSelections, word);
}
std::string_view to_string(StrategyKind kind) {
  return word_of(kKinds, kind);
}
std::optional<StrategyKind> strategy_kind_of(std::string_view word) {
  return value_of(kKinds, word);
}
std::string_view to_string(Split split) {
  return word_of(kSplits, split);
}
std::optional<Split> split_of(std::string_view word) {
  return value_of(kSplits, word);
}
std::string_view to_string(Baseline baseline) {
  return word_of(kBaselines, baseline);
}
std::optional<Baseline> baseline_of(std::string_view word) {
  return value_of(kBaselines, word);
}
std::string_view to_string(OnBad reaction) {
  return word_of(kReactions, reaction);
}
std::optional<OnBad> on_bad_of(std::string_view word) {
  return value_of(kReactions, word);
}
std::string_view to_string(MeanwhilePolicy policy) {
  return word_of(kPolicies, policy);
}
std::optional<MeanwhilePolicy> meanwhile_policy_of(std::string_view word) {
  return value_of(kPolicies, word);
}

std::size_t Amount::as_limit(std::size_t all) const {
  if (!is_percent) return std::min<std::size_t>(value, all);
  return std::min(all, all * value / 100);
}

std::size_t Amount::as_choice(std::size_t all) const {
  if (!is_percent) return std::min<std::size_t>(value, all);
  return std::min(all, (all * value + 99) / 100);
}

Result<void> check(const Strategy& strategy) {
  SEGUE_TRY(check_limits("limits", strategy.limits));
  if (strategy.waves.size() > Strategy::kMaxWaves) {
    return fail(ErrorCode::invalid_argument, "waves: {} of them, at most {}; repeat one instead",
                strategy.waves.size(), Strategy::kMaxWaves);
  }
  for (std::size_t i = 0; i < strategy.waves.size(); ++i) SEGUE_TRY(check_wave(strategy, i));
  if (strategy.kind == StrategyKind::canary) SEGUE_TRY(check_canary(strategy.canary));
  if (strategy.kind == StrategyKind::blue_green && strategy.canary.split == Split::hosts) {
    return fail(ErrorCode::invalid_argument,
                "canary.split: blue-green moves all traffic at once, which a split by hosts "
                "cannot; use kernel or proxy");
  }
  if (strategy.kind == StrategyKind::blue_green && strategy.canary.baseline == Baseline::renewed) {
    return fail(ErrorCode::invalid_argument,
                "canary.baseline: blue-green compares nothing, all new connections go to the new "
                "version at once; use strategy canary, or baseline: running");
  }
  SEGUE_TRY(check_times(strategy));
  SEGUE_TRY(check_approvals("approvals", strategy.approvals));
  SEGUE_TRY(check_gates("late_gates", strategy.late_gates));
  SEGUE_TRY(check_definitions(strategy.gates));
  if (strategy.retries > Strategy::kMaxRetries) {
    return fail(ErrorCode::invalid_argument, "retries: {}, at most {}", strategy.retries,
                Strategy::kMaxRetries);
  }
  return {};
}

Strategy careful(StrategyKind kind) {
  Strategy strategy;
  strategy.kind = kind;
  if (kind == StrategyKind::canary) {
    StepLimits limits;
    limits.bake = std::chrono::minutes(5);
    for (const std::uint32_t share_ppm : {10'000U, 100'000U, 500'000U}) {
      strategy.canary.steps.push_back({share_ppm, limits});
    }
  }
  if (kind == StrategyKind::all_at_once) strategy.limits.max_unavailable = percent(100);
  return strategy;
}

}  // namespace segue::fleet
