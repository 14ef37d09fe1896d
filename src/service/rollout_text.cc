// SPDX-License-Identifier: Apache-2.0
#include "service/rollout_text.h"

#include <fmt/format.h>

#include "config/quantities.h"

namespace segue::service {
namespace {

using fleet::Amount;
using fleet::Selection;
using fleet::StepLimits;
using fleet::Strategy;

std::string amount_text(Amount amount) {
  return fmt::format("{}{}", amount.value, amount.is_percent ? "%" : "");
}

std::string time_text(std::chrono::milliseconds time) {
  return config::time_span_text(static_cast<std::uint64_t>(time.count()) * 1'000);
}

void write_limits(YamlText& yaml, const StepLimits& limits, const StepLimits& usual,
                  const char* approvals) {
  const auto amount = [&](const char* key, Amount its, Amount usually) {
    if (yaml.shows(its == usually)) yaml.line(key, amount_text(its));
  };
  amount("max_unavailable", limits.max_unavailable, usual.max_unavailable);
  amount("max_failures", limits.max_failures, usual.max_failures);
  amount("max_silent", limits.max_silent, usual.max_silent);
  if (yaml.shows(limits.bake == usual.bake)) yaml.line("bake", time_text(limits.bake));
  if (yaml.shows(limits.approvals == usual.approvals)) {
    yaml.line(approvals, fmt::to_string(limits.approvals));
  }
  if (yaml.shows(limits.gates == usual.gates)) yaml.line("gates", yaml_list(limits.gates));
}

void write_wave(YamlText& yaml, const fleet::Wave& wave, const StepLimits& usual) {
  yaml.begin_item();
  switch (wave.selection) {
    case Selection::count:
      yaml.line("hosts", fmt::to_string(wave.amount));
      break;
    case Selection::percent:
      yaml.line("hosts", fmt::format("{}%", wave.amount));
      break;
    case Selection::rest:
      yaml.line("hosts", "rest");
      break;
    case Selection::site:
      yaml.line("site", yaml_scalar(wave.word));
      break;
    case Selection::label:
      yaml.line("label", yaml_scalar(wave.word));
      break;
    case Selection::each_site:
      yaml.line("each_site", "true");
      break;
    case Selection::each_label:
      yaml.line("each_label", yaml_scalar(wave.word));
      break;
  }
  if (wave.repeated) yaml.line("repeat", "true");
  yaml.text("name", wave.name);
  if (wave.limits) write_limits(yaml, *wave.limits, usual, "approvals");
  yaml.end();
}

void write_canary(YamlText& yaml, const Strategy& strategy, const fleet::Canary& usual) {
  const fleet::Canary& canary = strategy.canary;
  const bool is_used = strategy.kind == fleet::StrategyKind::canary ||
                       strategy.kind == fleet::StrategyKind::blue_green;
  if (canary == usual && !(is_used && yaml.shows(true))) return;
  yaml.begin("canary");
  if (yaml.shows(canary.split == usual.split)) yaml.line("split", to_string(canary.split));
  if (yaml.shows(canary.on == usual.on)) yaml.line("on", amount_text(canary.on));
  if (!canary.steps.empty()) {
    yaml.begin("steps");
    for (const auto& step : canary.steps) {
      yaml.begin_item();
      yaml.line("share", config::percent_text(step.share_ppm));
      write_limits(yaml, step.limits, strategy.limits, "approvals");
      yaml.end();
    }
    yaml.end();
  } else if (!usual.steps.empty()) {
    yaml.line("steps", "[]");
  }
  if (yaml.shows(canary.salt == usual.salt)) yaml.line("salt", fmt::to_string(canary.salt));
  if (yaml.shows(canary.ends_when_idle == usual.ends_when_idle)) {
    yaml.line("ends_when_idle", canary.ends_when_idle ? "true" : "false");
  }
  if (yaml.shows(canary.baseline == usual.baseline)) {
    yaml.line("baseline", to_string(canary.baseline));
  }
  yaml.end();
}

}  // namespace

void write_rollout(YamlText& yaml, const Strategy& strategy) {
  const Strategy usual = fleet::careful(strategy.kind);
  yaml.begin("rollout");
  // Whoever names a strategy begins with its own defaults.
  if (yaml.shows(strategy.kind == Strategy{}.kind)) {
    yaml.line("strategy", to_string(strategy.kind));
  }
  write_limits(yaml, strategy.limits, usual.limits, "step_approvals");
  if (!strategy.waves.empty()) {
    yaml.begin("waves");
    for (const auto& wave : strategy.waves) write_wave(yaml, wave, strategy.limits);
    yaml.end();
  } else if (yaml.shows(true) && strategy.kind == fleet::StrategyKind::rolling) {
    yaml.comment("waves: one host, then 10% of them, then the rest");
  }
  write_canary(yaml, strategy, usual.canary);
  const auto time = [&](const char* key, std::chrono::milliseconds Strategy::* member) {
    if (yaml.shows(strategy.*member == usual.*member)) yaml.line(key, time_text(strategy.*member));
  };
  time("undo_window", &Strategy::undo_window);
  if (yaml.shows(strategy.approvals == usual.approvals)) {
    yaml.line("approvals", fmt::to_string(strategy.approvals));
  }
  time("late_watch", &Strategy::late_watch);
  if (yaml.shows(strategy.late_gates == usual.late_gates)) {
    yaml.line("late_gates", yaml_list(strategy.late_gates));
  }
  if (yaml.shows(strategy.on_bad == usual.on_bad)) {
    yaml.line("on_bad", to_string(strategy.on_bad));
  }
  if (yaml.shows(strategy.meanwhile == usual.meanwhile)) {
    yaml.line("meanwhile", to_string(strategy.meanwhile));
  }
  if (yaml.shows(strategy.retries == usual.retries)) {
    yaml.line("retries", fmt::to_string(strategy.retries));
  }
  time("first_retry", &Strategy::first_retry);
  time("order_limit", &Strategy::order_limit);
  time("gate_limit", &Strategy::gate_limit);
  yaml.end();
}

}  // namespace segue::service
