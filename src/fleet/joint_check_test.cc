// SPDX-License-Identifier: Apache-2.0
#include "fleet/joint_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fleet/test_components.h"

namespace segue::fleet {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> fields(const ComponentSpec& spec, const Strategy& strategy) {
  std::vector<std::string> all;
  for (const auto& problem : problems_between(spec, strategy)) all.push_back(problem.field);
  EXPECT_EQ(check_together(spec, strategy).has_value(), all.empty());
  return all;
}

TEST(JointCheck, a_kernel_split_needs_a_socket_that_both_slots_share) {
  ComponentSpec spec = process_component();
  Strategy strategy = careful(StrategyKind::canary);
  EXPECT_THAT(fields(spec, strategy), ElementsAre("rollout.canary.split"));
  spec.sharing.kind = Sharing::Kind::kernel;
  EXPECT_THAT(fields(spec, strategy), ElementsAre("listen"));
  spec.contract.listen = {{"web", control::Listen::Kind::tcp, "::1", 80}};
  EXPECT_THAT(fields(spec, strategy), ElementsAre("listen"));
  spec.contract.listen.front().group = true;
  EXPECT_THAT(fields(spec, strategy), IsEmpty());
  EXPECT_THAT(fields(process_component(), careful(StrategyKind::rolling)), IsEmpty());
  strategy.canary.split = Split::hosts;
  EXPECT_THAT(fields(process_component(), strategy), IsEmpty());
  strategy = careful(StrategyKind::blue_green);
  strategy.canary.split = Split::proxy;
  EXPECT_THAT(fields(spec, strategy), ElementsAre("rollout.canary.split"));
}

TEST(JointCheck, a_proxy_needs_an_address_of_each_slots_own) {
  ComponentSpec spec = process_component();
  spec.sharing.kind = Sharing::Kind::haproxy;
  Strategy strategy = careful(StrategyKind::canary);
  strategy.canary.split = Split::proxy;
  EXPECT_THAT(fields(spec, strategy), IsEmpty());
  spec.contract.listen = {{"web", control::Listen::Kind::tcp, "::1", 80}};
  EXPECT_THAT(fields(spec, strategy), ElementsAre("listen"));
  spec.contract.listen.clear();
  spec.ports = {{"127.0.0.1", 7000, 7000}};
  EXPECT_THAT(fields(spec, strategy), ElementsAre("ports"));
}

TEST(JointCheck, what_a_bridge_ends_with_its_container_is_not_promised_to_be_handed_over) {
  ComponentSpec spec = process_component();
  spec.driver = Driver::container;
  spec.network = Network::bridge;
  const Strategy strategy = careful(StrategyKind::rolling);
  for (const char* upgrade : {"auto", "libsegue"}) {
    spec.contract.upgrade = upgrade;
    spec.contract.listen.clear();
    spec.ports = {{"127.0.0.1", 7000, 7000}};
    EXPECT_THAT(fields(spec, strategy), ElementsAre("ports"));
    spec.ports.clear();
    EXPECT_THAT(fields(spec, strategy), ElementsAre("network"));
    spec.contract.listen = {{"web", control::Listen::Kind::tcp, "::1", 80}};
    EXPECT_THAT(fields(spec, strategy), IsEmpty());
    spec.ports = {{"127.0.0.1", 7000, 7000}};
    EXPECT_THAT(fields(spec, strategy), ElementsAre("ports"));
  }
  spec.contract.upgrade = "restart";
  spec.contract.listen.clear();
  EXPECT_THAT(fields(spec, strategy), IsEmpty());
}

TEST(JointCheck, a_gate_that_is_named_has_to_be_defined) {
  const ComponentSpec spec = process_component();
  Strategy strategy;
  strategy.limits.gates = {"a"};
  strategy.late_gates = {"b"};
  strategy.waves = {{.selection = Selection::count, .amount = 1, .limits = StepLimits{}}};
  strategy.waves.front().limits->gates = {"c"};
  EXPECT_THAT(fields(spec, strategy), ElementsAre("rollout.gates[0]", "rollout.late_gates[0]",
                                                  "rollout.waves[0].gates[0]"));
  for (const char* name : {"a", "b", "c"}) {
    Gate gate = usual_gate(GateKind::handoff);
    gate.name = name;
    strategy.gates.push_back(gate);
  }
  EXPECT_THAT(fields(spec, strategy), IsEmpty());
  strategy.gates.front() = usual_gate(GateKind::health);
  strategy.gates.front().name = "a";
  EXPECT_THAT(fields(spec, strategy), ElementsAre("gates.a"));
}

}  // namespace
}  // namespace segue::fleet
