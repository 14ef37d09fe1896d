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
    archive.unless(Baseline::running, "baseline", canary.baseline);
  }
};

template <>
struct Layout<GateArm> {
  static void visit(auto& archive, auto& arm) {
    archive("requests", arm.requests);
    archive("failures", arm.failures);
    archive.unless(std::string(), "buckets", arm.buckets);
  }
};

template <>
struct Layout<Gate> {
  static void visit(auto& archive, auto& gate) {
    archive("name", gate.name);
    archive("kind", gate.kind);
    archive("every_ms", gate.every);
    archive("lost", gate.lost);
    archive("blackout_us", gate.blackout_us);
    archive("prometheus", gate.prometheus);
    archive("query", gate.query);
    archive("bad_side", gate.bad_side);
    archive("limit", gate.limit);
    archive("bad_in_row", gate.bad_in_row);
    archive("good_in_row", gate.good_in_row);
    archive("canary", gate.canary);
    archive("baseline", gate.baseline);
    archive.unless(Gate::kUsualQuantilePpm, "quantile_ppm", gate.quantile_ppm);
    archive("tolerance_ppm", gate.tolerance_ppm);
    archive("margin_ppm", gate.margin_ppm);
    archive("absolute_tolerance_ppm", gate.absolute_tolerance_ppm);
    archive("absolute_margin_ppm", gate.absolute_margin_ppm);
    archive("alpha_ppm", gate.alpha_ppm);
    archive("good_alpha_ppm", gate.good_alpha_ppm);
    archive("pass", gate.pass);
    archive("minimum_clusters", gate.minimum_clusters);
    archive("minimum_requests", gate.minimum_requests);
    archive("minimum_time_ms", gate.minimum_time);
    archive("cluster_cap", gate.cluster_cap);
    archive("warm_up_ms", gate.warm_up);
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
    archive.if_any("gate_definitions", strategy.gates, Strategy::kMaxGates);
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
    archive.unless(kNoRevision, "proxied", assignment.proxied);
    archive.unless(std::string(), "ends", assignment.ends);
    archive.unless(false, "renew", assignment.renew);
  }
};

}  // namespace segue::fleet
