// SPDX-License-Identifier: Apache-2.0
// Everything that a rule has gathered: a value, bounded whatever the number of observations, that
// goes through JSON and back without a change. Its members are for analysis.h and for tests.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "analysis/evidence.h"
#include "analysis/histogram.h"
#include "analysis/rule.h"

namespace segue::analysis {

// Clusters of one arm that wait for some of the other.
inline constexpr std::size_t kMaxPending = 64;
// When the late watch starts a gambler anew, so that hours without a finding do not hide one.
inline constexpr std::size_t kLateStarts = 8;

struct ThresholdState {
  std::uint64_t values = 0;
  std::uint64_t missing = 0;
  double last = 0;   // of values
  double worst = 0;  // of values
  std::uint64_t bad_row = 0;
  milliseconds bad_since{0};
  std::uint64_t good_row = 0;
  milliseconds good_since{0};
  milliseconds last_value_at{0};
  bool is_bad = false;  // once and for all
  friend bool operator==(const ThresholdState&, const ThresholdState&) = default;
};

struct ArmTotals {
  std::uint64_t clusters = 0;
  std::uint64_t requests = 0;
  std::uint64_t failures = 0;
  friend bool operator==(const ArmTotals&, const ArmTotals&) = default;
};

// One cluster as the bets see it (evidence.h).
struct PendingCluster {
  milliseconds at{0};
  double weight = 0;
  double events = 0;             // for WorseEvidence
  double acceptable_events = 0;  // for AcceptableEvidence
  friend bool operator==(const PendingCluster&, const PendingCluster&) = default;
};

// Where latencies count as events: from these buckets on.
struct Edges {
  Bucket baseline = 0;
  Bucket worse = 0;       // of the canary, for WorseEvidence
  Bucket acceptable = 0;  // of the canary, for AcceptableEvidence
  friend bool operator==(const Edges&, const Edges&) = default;
};

struct ComparisonState {
  ArmTotals canary;
  ArmTotals baseline;
  std::uint64_t pairs = 0;
  std::uint64_t left_out = 0;        // clusters without a partner
  std::uint64_t not_comparable = 0;  // observations whose arms' ages do not fit
  bool is_last_comparable = true;
  milliseconds canary_age{0};  // of the last observation
  milliseconds baseline_age{0};

  double weight = 0;  // sums over all pairs and both arms
  double events = 0;
  double squares = 0;  // of the differences
  WorseEvidence worse;
  double max_log_worse = 0;
  AcceptableEvidence acceptable;
  double max_log_acceptable = 0;

  bool is_pending_canary = false;
  std::vector<PendingCluster> pending;

  Histogram canary_latency;
  Histogram baseline_latency;
  std::vector<std::uint64_t> edges_us;  // of the last comparison
  std::optional<Edges> edges;
  std::uint64_t next_edges_at = 0;  // requests of the baseline

  friend bool operator==(const ComparisonState&, const ComparisonState&) = default;
};

struct LateWatch {
  milliseconds since{0};
  ArmTotals canary;  // at its begin
  ArmTotals baseline;
  std::uint64_t values = 0;
  std::uint64_t pairs = 0;
  std::array<WorseEvidence, kLateStarts> worse{};
  double max_log_worse = 0;
  friend bool operator==(const LateWatch&, const LateWatch&) = default;
};

struct State {
  std::string rule;  // its fingerprint
  milliseconds begun{0};
  milliseconds last_at{0};
  std::uint64_t observations = 0;
  ThresholdState threshold;    // of Kind::threshold
  ComparisonState comparison;  // of the others
  std::optional<LateWatch> late;
  friend bool operator==(const State&, const State&) = default;
};

// One line, with the number of its format.
std::string write_state(const State& state);
// data_loss: not a state, damaged, or of a newer format.
base::Result<State> read_state(std::string_view json);

}  // namespace segue::analysis
