// SPDX-License-Identifier: Apache-2.0
// One gate of a rollout's step: what it has seen so far, and what follows. Pure; times are since
// 1970, and never go back.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "analysis/analysis.h"
#include "base/error.h"
#include "fleet/gate.h"
#include "fleet/instance.h"
#include "prometheus/answer.h"
#include "rollout/rollout.h"

namespace segue::server {

using std::chrono::milliseconds;

// How long the rollout gives it.
struct GateTimes {
  milliseconds gate_limit{};
  milliseconds late_watch{};
};

// Of a handoff gate two, of the others one. Each passes analysis::check().
std::vector<analysis::Rule> rules_of(const fleet::Gate& gate, const GateTimes& times);

// What one look came to: for each of the rules, in their order.
struct GateLook {
  std::vector<std::variant<analysis::Value, analysis::Comparison>> contents;
  std::string trouble;  // why something could not be seen
  std::string note;     // what else belongs to the verdict
};

// Of all instances that a rollout has moved.
struct MovedFigures {
  std::uint64_t handoffs = 0;  // that their agents told of
  std::uint64_t started = 0;   // where nothing ran, or what was wanted did: nothing to hand over
  std::uint64_t untold = 0;    // where something had, and the agent tells of no handoff
  std::string first_untold;    // its host
  std::uint64_t lost = 0;      // connections, in all
  std::uint64_t worst_blackout_us = 0;
  std::uint64_t healthy = 0;
  std::uint64_t unhealthy = 0;
  std::uint64_t unknown = 0;
};
GateLook look_at(const fleet::Gate& gate, const MovedFigures& moved);

// The queries of a gate of kind query, compare or latency, in the order that their answers are
// taken in.
std::vector<std::string> queries_of(const fleet::Gate& gate, const fleet::GateVersions& versions);
using MetricAnswers = std::vector<base::Result<prometheus::Answer>>;
GateLook look_at(const fleet::Gate& gate, const MetricAnswers& answers);

// Where the step is. Before the bake only what is bad counts: what is good then says nothing of
// what comes. A gate that goes on after the last step takes what it has seen with it.
enum class GateStage { moving, settled, late };
std::string_view to_string(GateStage stage);

class GateWatch {
 public:
  GateWatch(fleet::Gate gate, GateTimes times, std::uint32_t step, milliseconds now);

  void enter(GateStage stage, milliseconds now);
  void take(const GateLook& look, milliseconds now);
  [[nodiscard]] rollout::GateState judge(milliseconds now) const;

  [[nodiscard]] const fleet::Gate& gate() const { return gate_; }
  [[nodiscard]] std::uint32_t step() const { return step_; }
  // 0: it has not looked so far.
  [[nodiscard]] milliseconds last_look() const { return last_look_; }

  // What it has seen, for the next server. data_loss: damaged. failed_precondition: of another
  // step, or of a gate with other numbers; it begins anew then.
  static constexpr std::size_t kMaxBytes = std::size_t{40} << 10;
  [[nodiscard]] std::string write() const;
  [[nodiscard]] base::Result<void> resume(std::string_view document);

 private:
  [[nodiscard]] milliseconds later(milliseconds now) const;

  fleet::Gate gate_;
  GateTimes times_;
  std::uint32_t step_;
  GateStage stage_ = GateStage::moving;
  std::vector<analysis::Rule> rules_;
  std::vector<analysis::State> states_;
  milliseconds begun_;
  milliseconds last_look_{};
  std::string trouble_;
  std::string note_;
};

}  // namespace segue::server
