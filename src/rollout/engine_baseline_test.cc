// SPDX-License-Identifier: Apache-2.0
// The stable slots beside a canary are renewed before it gets its first share.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "rollout/test_fleet.h"

namespace segue::rollout {
namespace {

using fleet::OrderResult;
using fleet::Slot;
using fleet::StrategyKind;
using testing::HasSubstr;

fleet::Strategy renewing() {
  fleet::Strategy strategy = quick(StrategyKind::canary);
  strategy.canary.baseline = fleet::Baseline::renewed;
  strategy.canary.on = fleet::percent(50);
  strategy.limits.max_unavailable = fleet::hosts(2);
  return strategy;
}

// Which instances were renewed, of `strategy`, in order.
struct Renewals {
  explicit Renewals(TestFleet& fleet) {
    fleet.behaviour_ = [this](const auto& key, const auto& assignment) {
      if (assignment.share_ppm > 0 && !share_after) share_after = hosts.size();
      if (assignment.renew) {
        EXPECT_EQ(key.second, Slot::stable);
        EXPECT_EQ(assignment.revision, kOld);
        EXPECT_EQ(assignment.share_ppm, 0U);
        if (result != OrderResult::done) return result;
        hosts.push_back(key.first);
      }
      return OrderResult::done;
    };
  }
  std::vector<std::string> hosts;
  std::optional<std::size_t> share_after;  // so many renewals the first share came
  OrderResult result = OrderResult::done;
};

TEST(Baseline, is_renewed_beside_each_canary_before_the_first_share_and_moves_with_its_wave) {
  TestFleet fleet(6, renewing());
  Renewals renewals(fleet);
  fleet.begin();
  ASSERT_TRUE(fleet.run_until_step("canary 1%", StepPhase::baking));
  EXPECT_EQ(renewals.hosts, (std::vector<std::string>{"h000", "h001", "h002"}));
  EXPECT_EQ(renewals.share_after, 3U);
  EXPECT_EQ(fleet.serving(kOld), 6U);
  for (const auto& step : fleet.engine().progress(fleet.now_).steps) {
    EXPECT_EQ(step.moved, step.kind == StepKind::canary ? step.instances : 0U) << step.name;
  }
  ASSERT_TRUE(fleet.run_until(Phase::done));
  EXPECT_EQ(fleet.serving(kNew), 6U);
  EXPECT_EQ(renewals.hosts.size(), 3U) << "once";
}

TEST(Baseline, is_renewed_by_as_many_at_once_as_may_be_unavailable) {
  TestFleet fleet(12, renewing());
  fleet.behaviour_ = [](const auto&, const auto& assignment) {
    return assignment.renew ? OrderResult::none : OrderResult::done;
  };
  fleet.begin();
  ASSERT_TRUE(fleet.run_until_step("canary 1%", StepPhase::renewing));
  fleet.work();
  std::size_t under_way = 0;
  for (const auto& facts : fleet.facts()) under_way += facts.stable.renew ? 1 : 0;
  EXPECT_EQ(under_way, 2U);
  const Progress progress = fleet.engine().progress(fleet.now_, 100);
  EXPECT_THAT(progress.waits_for, HasSubstr("h000 to be moved"));
  EXPECT_THAT(progress.next, HasSubstr("the canary gets 1% of new connections"));
  EXPECT_EQ(progress.noteworthy.size(), 2U);
}

TEST(Baseline, is_tried_again_when_a_host_refuses) {
  TestFleet fleet(2, renewing());
  Renewals renewals(fleet);
  renewals.result = OrderResult::refused;
  fleet.begin();
  ASSERT_TRUE(fleet.run_until_step("canary 1%", StepPhase::renewing));
  fleet.work();
  EXPECT_FALSE(renewals.share_after);
  renewals.result = OrderResult::done;
  ASSERT_TRUE(fleet.run_until(Phase::done));
  EXPECT_EQ(renewals.hosts.size(), 1U);
}

TEST(Baseline, that_cannot_be_renewed_undoes_the_rollout_and_serves_on) {
  for (const auto result : {OrderResult::undone, OrderResult::failed, OrderResult::refused}) {
    TestFleet fleet(6, renewing());
    Renewals renewals(fleet);
    renewals.result = result;
    fleet.begin();
    ASSERT_TRUE(fleet.run_until(Phase::undone)) << to_string(result);
    EXPECT_EQ(fleet.serving(kOld), 6U);
    EXPECT_EQ(fleet.serving(kNew, Slot::canary), 0U);
    EXPECT_FALSE(renewals.share_after) << "nobody came to a canary without a baseline";
    for (const auto& facts : fleet.facts()) EXPECT_FALSE(facts.stable.renew);
  }
}

TEST(Baseline, leaves_out_who_is_drained_not_well_or_on_another_revision) {
  fleet::Strategy strategy = renewing();
  strategy.canary.on = fleet::percent(100);
  TestFleet fleet(4, strategy);
  fleet.facts_["h000"].drained = true;
  fleet.seen("h001").health = fleet::Health::bad;
  fleet.facts_["h002"].back = kNew;
  Renewals renewals(fleet);
  fleet.begin();
  ASSERT_TRUE(fleet.run_until_step("canary 10%", StepPhase::baking));
  EXPECT_EQ(renewals.hosts, std::vector<std::string>{"h003"});
}

TEST(Baseline, an_undo_leaves_what_was_renewed_as_it_is) {
  TestFleet fleet(6, renewing());
  fleet.begin();
  ASSERT_TRUE(fleet.run_until_step("canary 10%", StepPhase::baking));
  const std::string order = fleet.assigned("h000").order;
  fleet.tell(Undo{"bob", ""});
  ASSERT_TRUE(fleet.run_until(Phase::undone));
  EXPECT_EQ(fleet.assigned("h000").order, order) << "no second handoff";
  EXPECT_EQ(fleet.serving(kOld), 6U);
  EXPECT_EQ(fleet.assigned("h000").stage, fleet::kNoRevision);
}

TEST(Baseline, is_renewed_once_wherever_the_server_is_killed) {
  std::size_t stored = 1;
  for (std::size_t kill_at = 1; kill_at <= stored; ++kill_at) {
    TestFleet fleet(4, renewing());
    Renewals renewals(fleet);
    fleet.kill_at_ = kill_at;
    fleet.begin();
    ASSERT_TRUE(fleet.run_until(Phase::done)) << kill_at;
    stored = fleet.stored_;
    EXPECT_EQ(renewals.hosts, (std::vector<std::string>{"h000", "h001"})) << kill_at;
    EXPECT_EQ(renewals.share_after, 2U);
    EXPECT_EQ(fleet.serving(kNew), 4U);
    ASSERT_FALSE(testing::Test::HasFailure());
  }
}

}  // namespace
}  // namespace segue::rollout
