// SPDX-License-Identifier: Apache-2.0
#include "fleet/gate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "fleet/strategy.h"

namespace segue::fleet {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

Gate whole(GateKind kind) {
  Gate gate = usual_gate(kind);
  gate.name = "errors";
  gate.prometheus = "http://127.0.0.1:9090";
  gate.query = "max(memory_bytes)";
  gate.limit = 0.1;
  gate.canary = {"sum by (host) (a)", "sum by (host) (b)", "sum by (host, le) (e)"};
  gate.baseline = {"sum by (host) (c)", "sum by (host) (d)", "sum by (host, le) (f)"};
  return gate;
}

std::string problem_of(GateKind kind, const std::function<void(Gate&)>& change) {
  Gate gate = whole(kind);
  change(gate);
  const auto checked = check(gate);
  return checked ? "" : checked.error().message();
}

TEST(Gate, of_each_kind_is_usable_once_it_says_where_to_look) {
  for (const auto kind : {GateKind::handoff, GateKind::health, GateKind::query, GateKind::compare,
                          GateKind::latency}) {
    EXPECT_EQ(problem_of(kind, [](Gate&) {}), "") << to_string(kind);
    EXPECT_EQ(gate_kind_of(to_string(kind)), kind);
  }
}

TEST(Gate, names_what_is_wrong) {
  EXPECT_THAT(problem_of(GateKind::query, [](Gate& gate) { gate.name = "a/b"; }),
              StartsWith("name: "));
  EXPECT_THAT(problem_of(GateKind::handoff, [](Gate& gate) { gate.every = {}; }),
              StartsWith("every: "));
  EXPECT_THAT(problem_of(GateKind::query, [](Gate& gate) { gate.prometheus = "ftp://x"; }),
              StartsWith("prometheus: "));
  EXPECT_THAT(problem_of(GateKind::query, [](Gate& gate) { gate.query.clear(); }),
              StartsWith("query: "));
  EXPECT_THAT(problem_of(GateKind::query,
                         [](Gate& gate) { gate.limit = std::numeric_limits<double>::infinity(); }),
              StartsWith("limit: "));
  EXPECT_THAT(problem_of(GateKind::health, [](Gate& gate) { gate.good_in_row = 0; }),
              StartsWith("good: "));
  EXPECT_THAT(problem_of(GateKind::compare, [](Gate& gate) { gate.baseline.failures.clear(); }),
              StartsWith("baseline.failures: "));
  EXPECT_THAT(problem_of(GateKind::compare, [](Gate& gate) { gate.margin_ppm = 1; }),
              StartsWith("margin: "));
  EXPECT_THAT(problem_of(GateKind::compare, [](Gate& gate) { gate.minimum_requests = 0; }),
              StartsWith("minimum_requests: "));
  EXPECT_THAT(problem_of(GateKind::latency, [](Gate& gate) { gate.canary.buckets.clear(); }),
              StartsWith("canary.buckets: "));
  EXPECT_THAT(problem_of(GateKind::latency, [](Gate& gate) { gate.quantile_ppm = 1'000'000; }),
              StartsWith("quantile: "));
  EXPECT_THAT(
      problem_of(GateKind::latency, [](Gate& gate) { gate.margin_ppm = Gate::kMaxSlowerPpm + 1; }),
      StartsWith("margin: "));
}

TEST(Gate, asks_for_the_versions_that_are_compared) {
  const GateVersions versions{"2.0", R"(1"\)"};
  EXPECT_EQ(query_of(R"(up{v="{{version}}"} / {{version}})", versions).value(),
            R"(up{v="2.0"} / 2.0)");
  EXPECT_EQ(query_of(R"(up{v="{{baseline_version}}"})", versions).value(), R"(up{v="1\"\\"})");
  EXPECT_EQ(query_of("up{v=\"1\"}", versions).value(), "up{v=\"1\"}");
  for (const char* wrong : {"up{{", "up{{versio}}", "up{{version}", "{{}}"}) {
    const auto refused = query_of(wrong, versions);
    ASSERT_FALSE(refused) << wrong;
    EXPECT_THAT(refused.error().message(), HasSubstr("is neither {{version}}"));
  }
}

TEST(Gate, is_kept_with_its_strategy_and_missing_from_older_ones) {
  Strategy strategy;
  const std::string without = write_strategy(strategy);
  EXPECT_EQ(without.find("gate_definitions"), std::string::npos);
  EXPECT_EQ(read_strategy(without).value(), strategy);
  for (const auto kind : {GateKind::handoff, GateKind::health, GateKind::query, GateKind::compare,
                          GateKind::latency}) {
    Gate gate = whole(kind);
    gate.name = std::string(to_string(kind));
    strategy.gates.push_back(gate);
  }
  EXPECT_EQ(read_strategy(write_strategy(strategy)).value(), strategy);
  strategy.gates.push_back(strategy.gates.front());
  EXPECT_FALSE(read_strategy(write_strategy(strategy))) << "a name twice";
}

}  // namespace
}  // namespace segue::fleet
