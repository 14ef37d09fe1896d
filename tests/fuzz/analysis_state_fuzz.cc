// SPDX-License-Identifier: Apache-2.0
// Rules and states as a damaged disk may leave them. What is accepted is written and read as the
// same, and an analysis can go on with it.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "analysis/analysis.h"
#include "base/assert.h"

namespace {

namespace analysis = segue::analysis;

void go_on(analysis::State state) {
  for (const auto kind :
       {analysis::Kind::threshold, analysis::Kind::rate, analysis::Kind::latency}) {
    const analysis::Rule rule = analysis::rule_of(kind, "rule", "");
    state.rule = analysis::fingerprint(rule);
    analysis::Observation observation{.at = state.last_at, .content = analysis::Value{1.0}};
    if (kind != analysis::Kind::threshold) {
      analysis::Comparison comparison;
      const analysis::Cluster cluster{.requests = 3, .failures = 1, .latencies = {{500, 3}}};
      comparison.canary.clusters = {cluster, cluster};
      comparison.baseline.clusters = {cluster};
      observation.content = comparison;
    }
    const auto next = analysis::observe(rule, state, observation);
    SEGUE_ASSERT(next.has_value());
    (void)analysis::write_verdict(analysis::judge(rule, *next, next->last_at));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto rule = analysis::read_rule(bytes)) {
    const auto again = analysis::read_rule(analysis::write_rule(*rule));
    SEGUE_ASSERT(again.has_value() && *again == *rule);
    SEGUE_ASSERT(analysis::check(*rule).has_value());
  }
  if (const auto state = analysis::read_state(bytes)) {
    const auto again = analysis::read_state(analysis::write_state(*state));
    SEGUE_ASSERT(again.has_value() && *again == *state);
    go_on(*state);
  }
  return 0;
}
