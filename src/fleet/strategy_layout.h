// SPDX-License-Identifier: Apache-2.0
// The members of strategies and assignments in documents.
#pragma once

#include "fleet/instance.h"
#include "fleet/layout.h"
#include "fleet/strategy.h"

namespace segue::fleet {

template <>
struct Layout<Amount> {
  static void visit(auto& archive, auto& amount) {
    archive("value", amount.value);
    archive("percent", amount.is_percent);
  }
};

template <>
struct Layout<StepLimits> {
  static void visit(auto& archive, auto& limits) {
    archive("max_unavailable", limits.max_unavailable);
    archive("max_failures", limits.max_failures);
    archive("max_silent", limits.max_silent);
    archive("bake_ms", limits.bake);
    archive("approvals", limits.approvals);
    archive("gates", limits.gates, Strategy::kMaxGates);
  }
};

template <>
struct Layout<Wave> {
  static void visit(auto& archive, auto& wave) {
    archive("selection", wave.selection);
    archive("amount", wave.amount);
    archive("word", wave.word);
    archive("repeated", wave.repeated);
    archive("name", wave.name);
    archive("limits", wave.limits);
  }
};

template <>
struct Layout<CanaryStep> {
  static void visit(auto& archive, auto& step) {
    archive("share_ppm", step.share_ppm);
    archive("limits", step.limits);
  }
};

template <>
struct Layout<Canary> {
  static void visit(auto& archive, auto& canary) {
    archive("split", canary.split);
    archive("on", canary.on);
    archive("steps", canary.steps, Strategy::kMaxCanarySteps);
    archive("salt", canary.salt);
    archive("ends_when_idle", canary.ends_when_idle);
  }
};

template <>
struct Layout<Strategy> {
  static void visit(auto& archive, auto& strategy) {
    archive("kind", strategy.kind);
    archive("limits", strategy.limits);
    archive("waves", strategy.waves, Strategy::kMaxWaves);
    archive("canary", strategy.canary);
    archive("undo_window_ms", strategy.undo_window);
    archive("approvals", strategy.approvals);
    archive("late_watch_ms", strategy.late_watch);
    archive("late_gates", strategy.late_gates, Strategy::kMaxGates);
    archive("on_bad", strategy.on_bad);
    archive("meanwhile", strategy.meanwhile);
    archive("retries", strategy.retries);
    archive("first_retry_ms", strategy.first_retry);
    archive("order_limit_ms", strategy.order_limit);
    archive("gate_limit_ms", strategy.gate_limit);
  }
};

template <>
struct Layout<Assignment> {
  static void visit(auto& archive, auto& assignment) {
    archive("revision", assignment.revision);
    archive("stage", assignment.stage);
    archive("order", assignment.order);
    archive("share_ppm", assignment.share_ppm);
    archive("share_salt", assignment.share_salt);
  }
};

}  // namespace segue::fleet
