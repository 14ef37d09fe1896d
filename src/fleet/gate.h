// SPDX-License-Identifier: Apache-2.0
// What has to be seen before a rollout goes on. Values only; people write them in segue.yaml, and
// docs/analysis.md says which to choose.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace segue::fleet {

enum class GateKind {
  handoff,  // how the handoffs of this rollout went
  health,   // of what was moved, as the agents see it
  query,    // a number that Prometheus has, against a limit
  compare,  // failures per request, the canary against a baseline, as Prometheus has them
  latency,  // a quantile of latency likewise, of histograms
};
std::string_view to_string(GateKind kind);
std::optional<GateKind> gate_kind_of(std::string_view word);

enum class GateSide { above, below };
std::string_view to_string(GateSide side);
std::optional<GateSide> gate_side_of(std::string_view word);

enum class GatePass { shown, unrefuted };
std::string_view to_string(GatePass pass);
std::optional<GatePass> gate_pass_of(std::string_view word);

// Queries in PromQL: each set of labels is one cluster.
struct GateArm {
  std::string requests;  // of compare
  std::string failures;  // of compare, with the same labels
  std::string buckets;   // of latency: cumulative, by label `le`, in seconds

  bool operator==(const GateArm&) const = default;
};

struct Gate {
  static constexpr std::size_t kMaxQueryBytes = 2'000;
  static constexpr std::chrono::milliseconds kMinEvery = std::chrono::seconds(1);
  static constexpr std::uint32_t kUsualQuantilePpm = 990'000;
  static constexpr std::uint32_t kMaxSlowerPpm = 100'000'000;  // a hundred times as slow

  std::string name;
  GateKind kind = GateKind::query;
  // Between two looks; of compare and latency no shorter than the range that its queries look at.
  std::chrono::milliseconds every = std::chrono::seconds(15);

  // ---- of handoff
  std::uint64_t lost = 0;         // connections; more is bad
  std::uint64_t blackout_us = 0;  // more is bad; 0: it is not looked at

  // ---- of query, compare and latency: http:// or https://
  std::string prometheus;

  // ---- of query, and how often of health
  std::string query;
  GateSide bad_side = GateSide::above;  // of the limit, which itself is good
  double limit = 0;
  std::uint32_t bad_in_row = 3;
  std::uint32_t good_in_row = 3;

  // ---- of compare and latency (analysis/rule.h); shares in millionths
  GateArm canary;
  GateArm baseline;
  std::uint32_t quantile_ppm = kUsualQuantilePpm;  // of latency
  std::uint32_t tolerance_ppm = 100'000;
  std::uint32_t margin_ppm = 500'000;
  std::uint32_t absolute_tolerance_ppm = 0;
  std::uint32_t absolute_margin_ppm = 5'000;
  std::uint32_t alpha_ppm = 10'000;
  std::uint32_t good_alpha_ppm = 50'000;
  GatePass pass = GatePass::shown;
  std::uint64_t minimum_clusters = 100;
  std::uint64_t minimum_requests = 1'000;
  std::chrono::milliseconds minimum_time{0};
  std::uint32_t cluster_cap = 16;
  std::chrono::milliseconds warm_up{0};  // of the canary; until then nothing is asked

  bool operator==(const Gate&) const = default;
};

// What a gate of this kind is when nothing else is said of it.
Gate usual_gate(GateKind kind);

// invalid_argument: "FIELD: TEXT", the field as segue.yaml calls it.
base::Result<void> check(const Gate& gate);

// What a query says of the two versions that are compared.
struct GateVersions {
  std::string version;           // that is rolled out
  std::string baseline_version;  // that ran before; empty: nothing did
};
// With each {{version}} and {{baseline_version}} replaced, as PromQL's strings need it.
// invalid_argument: another word stands between such braces.
base::Result<std::string> query_of(const std::string& text, const GateVersions& versions);

}  // namespace segue::fleet
