// SPDX-License-Identifier: Apache-2.0
#include "service/gate_keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "service/service_file.h"
#include "service/test_services.h"

namespace segue::service {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)

// Of one component whose gates begin at line 6.
std::vector<std::string> problems_of(const std::string& gates, const std::string& more = "") {
  return read_service("s.yaml",
                      "service: chat\ncomponents:\n  hub:\n    command: [bin/hub]\n    gates:\n" +
                          gates + more + "    release: {library: /srv/library, version: 1.2.0}\n")
      .problems;
}

TEST(GateKeys, say_what_each_gate_looks_at) {
  const auto reading = read_service("s.yaml", kWholeFile);
  ASSERT_TRUE(reading.service);
  const auto& gates = reading.service->components[0].strategy.gates;
  ASSERT_THAT(gates, SizeIs(6));
  EXPECT_EQ(gates[0].kind, fleet::GateKind::handoff);
  EXPECT_EQ(gates[0].lost, 1U);
  EXPECT_EQ(gates[0].blackout_us, 10'000U);
  EXPECT_EQ(gates[1].good_in_row, 5U);
  EXPECT_EQ(gates[1].every, 5s);
  EXPECT_EQ(gates[2].limit, 2.5e9);
  EXPECT_EQ(gates[2].bad_side, fleet::GateSide::above);
  EXPECT_EQ(gates[3].bad_side, fleet::GateSide::below);
  EXPECT_EQ(gates[4].margin_ppm, 1'000'000U);
  EXPECT_EQ(gates[4].pass, fleet::GatePass::unrefuted);
  EXPECT_THAT(gates[4].baseline.failures, HasSubstr("{{baseline_version}}"));
  EXPECT_EQ(gates[4].warm_up, 3min);
  EXPECT_EQ(gates[5].kind, fleet::GateKind::latency);
  EXPECT_EQ(gates[5].quantile_ppm, 999'000U);
  EXPECT_EQ(gates[5].margin_ppm, 1'500'000U);
  EXPECT_EQ(gates[5].tolerance_ppm, 50'000U);
  EXPECT_THAT(gates[5].baseline.buckets, HasSubstr("(host, le)"));
  EXPECT_TRUE(gates[5].canary.requests.empty());
}

TEST(GateKeys, refuse_what_is_wrong_with_its_line_and_what_to_write) {
  EXPECT_THAT(problems_of("      a: {kind: handof}\n"),
              ElementsAre("s.yaml:6: components.hub.gates.a.kind: 'handof' is none of handoff, "
                          "health, query, compare, latency"));
  EXPECT_THAT(problems_of("      a: {lost: 1}\n"),
              ElementsAre(HasSubstr("s.yaml:6: components.hub.gates.a: 'kind' is missing")));
  EXPECT_THAT(problems_of("      a: {kind: handoff, blackot: 1ms}\n"),
              ElementsAre(HasSubstr("a.blackot: there is no such key; did you mean 'blackout'?")));
  EXPECT_THAT(problems_of("      a: {kind: query, prometheus: \"http://p\", query: up}\n"),
              ElementsAre(HasSubstr("One of 'above' and 'below'")));
  EXPECT_THAT(
      problems_of("      a: {kind: query, prometheus: \"http://p\", query: up, above: x}\n"),
      ElementsAre(HasSubstr("a.above: 'x' is no number")));
  EXPECT_THAT(problems_of("      a: {kind: query, query: up, above: 1}\n"),
              ElementsAre(HasSubstr("a.prometheus: the address of a Prometheus server")));
  EXPECT_THAT(
      problems_of("      a:\n        kind: query\n        prometheus: http://p\n        above: 1\n"
                  "        query: \"up{version='{{verson}}'}\"\n"),
      ElementsAre(HasSubstr("s.yaml:10: components.hub.gates.a.query: '{{verson' is neither")));
  EXPECT_THAT(problems_of("      a: {kind: compare, prometheus: \"http://p\"}\n"),
              ElementsAre(HasSubstr("a.canary.requests: a query in PromQL")));
  EXPECT_THAT(problems_of("      a: {kind: latency, prometheus: \"http://p\"}\n"),
              ElementsAre(HasSubstr("a.canary.buckets: a query in PromQL")));
  const std::string arms = "prometheus: \"http://p\", canary: {buckets: x}, baseline: {buckets: x}";
  EXPECT_THAT(problems_of("      a: {kind: latency, quantile: 100%, " + arms + "}\n"),
              ElementsAre(HasSubstr("a.quantile: 1000000 is not")));
  EXPECT_THAT(problems_of("      a: {kind: latency, margin: 1%, " + arms + "}\n"),
              ElementsAre(HasSubstr("a.margin: it has to be no less than the tolerance")));
  EXPECT_THAT(problems_of("      a: {kind: latency, absolute_margin: 1%, " + arms + "}\n"),
              ElementsAre(HasSubstr("a.absolute_margin: there is no such key")));
  EXPECT_THAT(problems_of("      a: {kind: compare, prometheus: \"http://p\",\n"
                          "          canary: {requests: r, failures: f, buckets: x},\n"
                          "          baseline: {requests: r, failures: f}}\n"),
              ElementsAre(HasSubstr("a.canary.buckets: there is no such key")));
}

TEST(GateKeys, have_to_exist_where_a_rollout_names_them) {
  EXPECT_THAT(problems_of("      a: {kind: handoff}\n", "    rollout: {gates: [a]}\n"), IsEmpty());
  EXPECT_THAT(problems_of("      a: {kind: handoff}\n", "    rollout: {gates: [a, b]}\n"),
              ElementsAre("s.yaml:7: components.hub.rollout.gates[1]: there is no gate 'b'; "
                          "'gates' defines a"));
  EXPECT_THAT(problems_of("      a: {kind: health}\n", "    rollout: {late_gates: [a]}\n"),
              ElementsAre(HasSubstr("s.yaml:6: components.hub.gates.a: the component has no "
                                    "'health'")));
}

}  // namespace
}  // namespace segue::service
