// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "rollout/test_fleet.h"

namespace segue::rollout {
namespace {

using fleet::OrderResult;
using fleet::Slot;
using fleet::StrategyKind;
using std::chrono::seconds;
using testing::HasSubstr;

TEST(Engine, moves_every_host_wave_by_wave_and_watches_before_it_is_done) {
  TestFleet fleet(50);
  fleet.begin();
  ASSERT_EQ(fleet.head().steps.size(), 3U);
  EXPECT_EQ(fleet.serving(kNew), 0U);
  ASSERT_TRUE(fleet.run_until_step("1 host", StepPhase::baking));
  EXPECT_EQ(fleet.serving(kNew), 1U);
  ASSERT_TRUE(fleet.run_until_step("10%", StepPhase::baking));
  EXPECT_EQ(fleet.serving(kNew), 6U);
  ASSERT_TRUE(fleet.run_until(Phase::watching));
  EXPECT_EQ(fleet.serving(kNew), 50U);
  ASSERT_TRUE(fleet.run_until(Phase::done));
  EXPECT_THAT(fleet.head().text, HasSubstr("every host"));
}

TEST(Engine, never_moves_more_at_once_than_the_step_allows) {
  fleet::Strategy strategy = quick();
  strategy.limits.max_unavailable = fleet::hosts(3);
  TestFleet fleet(40, strategy);
  int held = 0;
  fleet.behaviour_ = [&](const auto&, const auto&) {
    // Most say nothing for a while.
    return ++held % 7 == 0 ? OrderResult::done : OrderResult::none;
  };
  fleet.begin();
  for (int i = 0; i < 400 && fleet.head().phase != Phase::watching; ++i) fleet.pass(seconds(1));
  EXPECT_EQ(fleet.head().phase, Phase::watching);
  EXPECT_EQ(fleet.most_under_way_, 3U);
}

TEST(Engine, stages_the_next_step_before_it_begins) {
  TestFleet fleet(50);
  fleet.begin();
  fleet.work();
  EXPECT_EQ(fleet.assigned("h001").stage, kNew);
  EXPECT_EQ(fleet.assigned("h001").revision, kOld);
  EXPECT_EQ(fleet.assigned("h001").order, "r0.0.1");  // no order, so nothing is carried out
  EXPECT_EQ(fleet.assigned("h040").stage, fleet::kNoRevision);
}

TEST(Engine, a_failure_undoes_everything_by_itself_and_says_why) {
  TestFleet fleet(30);
  fleet.behaviour_ = [](const auto& key, const auto& assignment) {
    return key.first == "h002" && assignment.revision == kNew ? OrderResult::undone
                                                              : OrderResult::done;
  };
  fleet.begin();
  ASSERT_TRUE(fleet.run_until(Phase::undone));
  EXPECT_EQ(fleet.serving(kOld), 30U);
  EXPECT_THAT(fleet.head().text, HasSubstr("h002"));
  EXPECT_EQ(fleet.assigned("h029").stage, fleet::kNoRevision);
}

TEST(Engine, as_many_failures_as_allowed_are_left_behind_and_counted) {
  fleet::Strategy strategy = quick();
  strategy.limits.max_failures = fleet::hosts(1);
  TestFleet fleet(30, strategy);
  fleet.behaviour_ = [](const auto& key, const auto&) {
    return key.first == "h002" ? OrderResult::undone : OrderResult::done;
  };
  fleet.begin();
  ASSERT_TRUE(fleet.run_until(Phase::done));
  EXPECT_EQ(fleet.serving(kNew), 29U);
  EXPECT_THAT(fleet.head().text, HasSubstr("1 instances could not be moved"));
}

TEST(Engine, a_refused_order_is_tried_again_with_another_name_then_it_has_failed) {
  TestFleet fleet(3);
  int refusals = 0;
  fleet.behaviour_ = [&](const auto& key, const auto& assignment) {
    if (key.first != "h000" || assignment.revision != kNew || refusals == 2) {
      return OrderResult::done;
    }
    ++refusals;
    return OrderResult::refused;
  };
  fleet.begin();
  ASSERT_TRUE(fleet.run_until(Phase::done));
  EXPECT_EQ(refusals, 2);
  EXPECT_EQ(fleet.assigned("h000").order, "r1.0.3");

  TestFleet never(3);
  never.behaviour_ = [&](const auto&, const auto& assignment) {
    return assignment.revision == kNew ? OrderResult::refused : OrderResult::done;
  };
  never.begin();
  ASSERT_TRUE(never.run_until(Phase::undone));
  EXPECT_THAT(never.head().text, HasSubstr("refused 4 times"));
}

TEST(Engine, an_order_without_an_outcome_fails_after_its_limit) {
  TestFleet fleet(3);
  fleet.behaviour_ = [&](const auto& key, const auto& assignment) {
    return key.first == "h001" && assignment.revision == kNew ? OrderResult::under_way
                                                              : OrderResult::done;
  };
  fleet.begin();
  ASSERT_TRUE(fleet.run_until(Phase::undone));
  EXPECT_THAT(fleet.head().text, HasSubstr("no outcome within 900 s"));
}

TEST(Engine, a_host_that_is_not_well_after_its_move_is_a_failure) {
  TestFleet fleet(30);
  fleet.bad_revisions_ = {kNew};
  fleet.begin();
  ASSERT_TRUE(fleet.run_until(Phase::undone));
  EXPECT_EQ(fleet.serving(kOld), 30U);
}

TEST(Engine, an_allowed_failure_that_leaves_no_room_to_go_on_is_not_waited_for_for_ever) {
  fleet::Strategy strategy = quick(StrategyKind::all_at_once);
  strategy.limits.max_unavailable = fleet::hosts(1);
  strategy.limits.max_failures = fleet::hosts(1);
  TestFleet fleet(5, strategy);
  fleet.bad_revisions_ = {kNew};
  fleet.begin();
  ASSERT_TRUE(fleet.run_until(Phase::undone));
  EXPECT_THAT(fleet.head().text, HasSubstr("no other of step all may be unavailable"));
}

TEST(Engine, a_component_that_goes_bad_in_the_watch_is_undone) {
  TestFleet fleet(10);
  fleet.begin();
  ASSERT_TRUE(fleet.run_until(Phase::watching));
  fleet.seen("h007").health = fleet::Health::bad;
  fleet.seen("h007").health_text = "HTTP 500";
  fleet.report("h007");
  ASSERT_TRUE(fleet.run_until(Phase::undone));
  EXPECT_EQ(fleet.serving(kOld), 10U);
  EXPECT_THAT(fleet.head().text, HasSubstr("HTTP 500"));
}

TEST(Engine, a_silent_host_holds_its_wave_back_until_it_is_heard_of) {
  TestFleet fleet(30);
  fleet.facts_["h002"].silent = true;
  fleet.begin();
  ASSERT_FALSE(fleet.run_until(Phase::watching));
  EXPECT_EQ(fleet.head().steps[fleet.head().step].name, "10%");
  EXPECT_THAT(fleet.engine().progress(fleet.now_).waits_for, HasSubstr("h002 to be heard of"));
  fleet.silence("h002", false);
  ASSERT_TRUE(fleet.run_until(Phase::done));
  EXPECT_EQ(fleet.serving(kNew), 30U);
}

TEST(Engine, an_allowed_silent_host_is_passed_by_and_gets_its_order_for_when_it_is_back) {
  fleet::Strategy strategy = quick();
  strategy.limits.max_silent = fleet::hosts(1);
  TestFleet fleet(30, strategy);
  fleet.facts_["h002"].silent = true;
  fleet.begin();
  ASSERT_TRUE(fleet.run_until(Phase::done));
  EXPECT_EQ(fleet.serving(kOld), 1U);
  EXPECT_EQ(fleet.assigned("h002").revision, kNew);
}

TEST(Engine, drained_hosts_are_passed_by_joined_ones_moved_and_gone_ones_forgotten) {
  TestFleet fleet(30);
  fleet.begin();
  fleet.tell(HostDrained{"h020", true});
  ASSERT_TRUE(fleet.run_until_step("10%", StepPhase::baking));
  fleet.add_host("x1");
  fleet.tell(HostJoined{fleet.facts_["x1"]});
  fleet.report("x1");
  fleet.facts_["h025"].silent = true;
  fleet.tell(HostSilent{"h025"});
  fleet.tell(HostLeft{"h025"});
  ASSERT_TRUE(fleet.run_until(Phase::watching));
  EXPECT_EQ(fleet.serves("x1"), kNew);
  EXPECT_EQ(fleet.serves("h020"), kOld);
  EXPECT_EQ(fleet.serves("h025"), kOld);
  fleet.tell(HostDrained{"h020", false});
  ASSERT_TRUE(fleet.run_until(Phase::done));
  EXPECT_EQ(fleet.serves("h020"), kNew);
}

TEST(Engine, pause_lets_nothing_begin_and_resume_goes_on) {
  TestFleet fleet(50);
  fleet.begin();
  ASSERT_TRUE(fleet.run_until_step("10%", StepPhase::baking));
  fleet.tell(Pause{"bob", "lunch"});
  fleet.pass(std::chrono::hours(3));
  EXPECT_EQ(fleet.serving(kNew), 6U);
  EXPECT_THAT(fleet.engine().progress(fleet.now_).waits_for, HasSubstr("by bob: lunch"));
  EXPECT_FALSE(fleet.give(Promote{"bob"}));
  fleet.tell(Resume{"bob"});
  ASSERT_TRUE(fleet.run_until(Phase::done));
}

TEST(Engine, promote_ends_a_step_early_or_all_of_them) {
  fleet::Strategy strategy = quick();
  strategy.limits.bake = std::chrono::hours(10);
  TestFleet fleet(50, strategy);
  fleet.begin();
  ASSERT_TRUE(fleet.run_until_step("1 host", StepPhase::baking));
  fleet.tell(Promote{"bob"});
  fleet.work();
  EXPECT_EQ(fleet.head().steps[fleet.head().step].name, "10%");
  const auto before = fleet.now_.monotonic;
  fleet.tell(Promote{"bob", true});
  ASSERT_TRUE(fleet.run_until(Phase::done));
  EXPECT_LT(fleet.now_.monotonic - before, std::chrono::hours(1));
}

TEST(Engine, two_persons_approve_and_the_author_never_alone) {
  fleet::Strategy strategy = quick();
  strategy.approvals = 2;
  TestFleet fleet(5, strategy);
  fleet.begin();
  fleet.pass(std::chrono::hours(1));
  EXPECT_EQ(fleet.serving(kNew), 0U);
  fleet.tell(Approve{"ada"});
  EXPECT_FALSE(fleet.give(Approve{"ada"}));
  EXPECT_EQ(fleet.head().step_phase, StepPhase::approving);
  fleet.tell(Approve{"bob"});
  ASSERT_TRUE(fleet.run_until(Phase::done));

  strategy.approvals = 1;
  TestFleet alone(5, strategy);
  alone.begin();
  const auto refused = alone.give(Approve{"ada"});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), base::ErrorCode::permission_denied);
}

TEST(Engine, a_gate_without_enough_data_never_passes_and_a_bad_one_undoes) {
  fleet::Strategy strategy = quick();
  strategy.limits.gates = {"latency"};
  TestFleet fleet(5, strategy);
  fleet.verdict_ = Verdict::wait;
  fleet.begin();
  ASSERT_TRUE(fleet.run_until([&] { return fleet.head().paused; }));
  EXPECT_EQ(fleet.serving(kNew), 1U);
  fleet.verdict_ = Verdict::good;
  fleet.tell(Resume{"bob"});
  ASSERT_TRUE(fleet.run_until_step("10%", StepPhase::judging));
  fleet.verdict_ = Verdict::bad;
  fleet.tell(Judged{fleet.head().step, "latency", Verdict::bad, "p99 +40%"});
  ASSERT_TRUE(fleet.run_until(Phase::undone));
  EXPECT_THAT(fleet.head().text, HasSubstr("p99 +40%"));
  EXPECT_EQ(fleet.serving(kOld), 5U);
}

TEST(Engine, a_verdict_about_an_earlier_step_is_passed_over) {
  fleet::Strategy strategy = quick();
  strategy.limits.gates = {"latency"};
  TestFleet fleet(30, strategy);
  fleet.begin();
  ASSERT_TRUE(fleet.run_until_step("10%", StepPhase::baking));
  fleet.tell(Judged{0, "latency", Verdict::bad, "late"});
  ASSERT_TRUE(fleet.run_until(Phase::done));
}

TEST(Engine, a_canary_gets_its_shares_then_stable_moves_and_its_slot_stays_while_it_serves) {
  TestFleet fleet(10, quick(StrategyKind::canary));
  fleet.begin();
  ASSERT_TRUE(fleet.run_until_step("canary 1%", StepPhase::baking));
  EXPECT_EQ(fleet.serving(kNew, Slot::canary), 10U);
  EXPECT_EQ(fleet.serving(kNew), 0U);
  EXPECT_EQ(fleet.assigned("h003", Slot::canary).share_ppm, 10'000U);
  ASSERT_TRUE(fleet.run_until_step("canary 50%", StepPhase::baking));
  EXPECT_EQ(fleet.assigned("h003", Slot::canary).share_ppm, 500'000U);
  ASSERT_TRUE(fleet.run_until(Phase::watching));
  EXPECT_EQ(fleet.serving(kNew), 10U);
  EXPECT_EQ(fleet.assigned("h003", Slot::canary).share_ppm, 0U);
  EXPECT_EQ(fleet.serves("h003", Slot::canary), kNew);  // it has connections
  fleet.seen("h003", Slot::canary).connections = 0;
  fleet.report("h003", Slot::canary);
  ASSERT_TRUE(fleet.run_until(Phase::done));
  EXPECT_EQ(fleet.serves("h003", Slot::canary), fleet::kNoRevision);
  EXPECT_EQ(fleet.serves("h004", Slot::canary), kNew);
}

TEST(Engine, an_aborted_canary_loses_its_share_first_and_is_then_handed_back) {
  TestFleet fleet(10, quick(StrategyKind::canary));
  fleet.begin();
  ASSERT_TRUE(fleet.run_until_step("canary 10%", StepPhase::baking));
  std::vector<std::string> order;
  fleet.behaviour_ = [&](const TestFleet::Key& key, const fleet::Assignment& assignment) {
    order.push_back(assignment.revision == kNew ? "share" : "back");
    EXPECT_EQ(key.second, Slot::canary);
    EXPECT_EQ(assignment.share_ppm, 0U);
    return OrderResult::done;
  };
  fleet.tell(Undo{"bob", "bad smell"});
  ASSERT_TRUE(fleet.run_until(Phase::undone));
  ASSERT_EQ(order.size(), 20U);
  for (std::size_t i = 0; i < order.size(); ++i) EXPECT_EQ(order[i], i < 10 ? "share" : "back");
  EXPECT_EQ(fleet.serving(kOld, Slot::canary), 10U);  // with the connections it had
  EXPECT_EQ(fleet.serving(kOld), 10U);
}

TEST(Engine, a_canary_slot_ends_with_its_last_connection_also_when_the_rollout_is_over) {
  for (const bool undone : {false, true}) {
    TestFleet fleet(3, quick(StrategyKind::canary));
    fleet.begin();
    ASSERT_TRUE(fleet.run_until_step("canary 10%", StepPhase::baking));
    if (undone) fleet.tell(Undo{"bob", "bad smell"});
    ASSERT_TRUE(fleet.run_until(undone ? Phase::undone : Phase::done));
    fleet.restart();
    EXPECT_TRUE(fleet.engine().has_lingering_canaries());
    for (const char* host : {"h000", "h001", "h002"}) {
      EXPECT_EQ(fleet.serves(host, Slot::canary), undone ? kOld : kNew);
      fleet.seen(host, Slot::canary).connections = 0;
      fleet.report(host, Slot::canary);
      EXPECT_TRUE(fleet.engine().has_lingering_canaries()) << "nobody has heard of its end";
      fleet.work();
      EXPECT_EQ(fleet.serves(host, Slot::canary), fleet::kNoRevision);
    }
    EXPECT_FALSE(fleet.engine().has_lingering_canaries());
    EXPECT_EQ(fleet.head().phase, undone ? Phase::undone : Phase::done);
  }
}

TEST(Engine, an_end_that_nobody_has_heard_of_is_taken_back_for_a_newer_rollout) {
  TestFleet fleet(1, quick(StrategyKind::canary));
  fleet.begin();
  ASSERT_TRUE(fleet.run_until(Phase::done));
  fleet.seen("h000", Slot::canary).connections = 0;
  fleet.report("h000", Slot::canary);
  EXPECT_EQ(fleet.assigned("h000", Slot::canary).revision, fleet::kNoRevision);
  const Changes changes = fleet.engine().let_go(fleet.now_);
  ASSERT_EQ(changes.batches.size(), 1U);
  EXPECT_EQ(changes.batches[0].instances.at(0).record.assignment.revision, kNew);
  EXPECT_TRUE(fleet.engine().let_go(fleet.now_).batches.empty());
}

TEST(Engine, shows_of_one_that_is_over_what_came_of_it) {
  TestFleet fleet(5, quick());
  fleet.begin();
  ASSERT_TRUE(fleet.run_until(Phase::done));
  const auto expect_steps = [&](const std::string& state, std::size_t moved) {
    std::size_t sum = 0;
    for (const auto& step : fleet.engine().progress(fleet.now_).steps) {
      sum += step.moved;
      EXPECT_EQ(step.moving, 0U);
      EXPECT_EQ(step.state, state) << step.name;
    }
    EXPECT_EQ(sum, moved);
    EXPECT_TRUE(fleet.engine().progress(fleet.now_).noteworthy.empty());
  };
  expect_steps("done", 5);
  fleet.restart();
  expect_steps("done", 5);
  fleet.tell(Undo{"bob", "bad smell"});
  ASSERT_TRUE(fleet.run_until(Phase::undone));
  fleet.restart();
  expect_steps("undone", 5);
}

TEST(Engine, a_canary_behind_a_proxy_gets_its_shares_by_its_assignments) {
  fleet::Strategy strategy = quick(StrategyKind::canary);
  strategy.canary.split = fleet::Split::proxy;
  TestFleet fleet(4, strategy);
  bool takes_shares = false;
  fleet.behaviour_ = [&](const TestFleet::Key&, const fleet::Assignment& assignment) {
    return assignment.share_ppm == 0 || takes_shares ? OrderResult::done : OrderResult::none;
  };
  fleet.begin();
  ASSERT_TRUE(fleet.run_until_step("canary 1%", StepPhase::sharing));
  fleet.pass(std::chrono::seconds(10));
  EXPECT_EQ(fleet.head().step_phase, StepPhase::sharing);
  EXPECT_EQ(fleet.assigned("h000", Slot::canary).share_ppm, 10'000U);
  takes_shares = true;
  ASSERT_TRUE(fleet.run_until_step("canary 50%", StepPhase::baking));
  fleet.tell(Undo{"bob", ""});
  ASSERT_TRUE(fleet.run_until(Phase::undone));
  EXPECT_EQ(fleet.serving(kOld, Slot::canary), 4U);  // with the connections it had
}

TEST(Engine, a_canary_that_somebody_may_still_be_sent_to_is_not_ended) {
  TestFleet fleet(2, quick(StrategyKind::canary));
  fleet.begin();
  ASSERT_TRUE(fleet.run_until(Phase::watching));
  fleet.seen("h001", Slot::canary).connections = 0;
  fleet.tell(Observed{"h001", Slot::canary, fleet.seen("h001", Slot::canary), true});
  fleet.work();
  EXPECT_EQ(fleet.serves("h001", Slot::canary), kNew);
  fleet.tell(Observed{"h001", Slot::canary, fleet.seen("h001", Slot::canary), false});
  fleet.work();
  EXPECT_EQ(fleet.serves("h001", Slot::canary), fleet::kNoRevision);
}

TEST(Engine, a_canary_by_hosts_moves_stable_slots_of_some_first) {
  fleet::Strategy strategy = quick(StrategyKind::canary);
  strategy.canary.split = fleet::Split::hosts;
  TestFleet fleet(20, strategy);
  fleet.begin();
  ASSERT_TRUE(fleet.run_until_step("canary 10%", StepPhase::baking));
  EXPECT_EQ(fleet.serving(kNew), 2U);
  ASSERT_TRUE(fleet.run_until_step("canary 50%", StepPhase::baking));
  EXPECT_EQ(fleet.serving(kNew), 10U);
  ASSERT_TRUE(fleet.run_until(Phase::done));
  EXPECT_EQ(fleet.serving(kNew), 20U);
}

TEST(Engine, blue_green_moves_all_traffic_at_once_and_the_old_ones_stay_for_the_undo_window) {
  TestFleet fleet(5, quick(StrategyKind::blue_green));
  fleet.begin();
  ASSERT_TRUE(fleet.run_until_step("green", StepPhase::baking));
  EXPECT_EQ(fleet.assigned("h001", Slot::canary).share_ppm, 0U);
  ASSERT_TRUE(fleet.run_until_step("switch", StepPhase::baking));
  EXPECT_EQ(fleet.assigned("h001", Slot::canary).share_ppm, fleet::kWholeShare);
  EXPECT_EQ(fleet.serving(kOld), 5U);
  ASSERT_TRUE(fleet.run_until(Phase::done));
  EXPECT_EQ(fleet.serving(kNew), 5U);
}

TEST(Engine, a_finished_rollout_is_undone_by_handoffs_in_reverse) {
  TestFleet fleet(12);
  fleet.begin();
  ASSERT_TRUE(fleet.run_until(Phase::done));
  std::vector<std::string> back;
  fleet.behaviour_ = [&](const TestFleet::Key& key, const auto&) {
    back.push_back(key.first);
    return OrderResult::done;
  };
  fleet.tell(Undo{"bob", ""});
  ASSERT_TRUE(fleet.run_until(Phase::undone));
  ASSERT_EQ(back.size(), 12U);
  EXPECT_EQ(back.back(), "h000");
  EXPECT_FALSE(fleet.give(Undo{"bob", ""}));
}

TEST(Engine, an_undo_that_fails_somewhere_ends_as_failed_and_can_be_tried_again) {
  TestFleet fleet(5);
  fleet.begin();
  ASSERT_TRUE(fleet.run_until(Phase::done));
  fleet.behaviour_ = [](const auto& key, const auto&) {
    return key.first == "h003" ? OrderResult::refused : OrderResult::done;
  };
  fleet.tell(Undo{"bob", ""});
  ASSERT_TRUE(fleet.run_until(Phase::failed));
  EXPECT_THAT(fleet.head().text, HasSubstr("1 instance could not be brought back: h003 (refused"));
  EXPECT_THAT(fleet.head().text, HasSubstr("Undo it again to try"));
  EXPECT_THAT(fleet.head().text, HasSubstr("It was undone because: bob wants it"));
  fleet.behaviour_ = {};
  fleet.tell(Undo{"bob", ""});
  ASSERT_TRUE(fleet.run_until(Phase::undone));
  EXPECT_EQ(fleet.serving(kOld), 5U);
}

TEST(Engine, an_undo_goes_on_past_a_silent_host_and_waits_for_it_at_the_end) {
  TestFleet fleet(5);
  fleet.begin();
  ASSERT_TRUE(fleet.run_until(Phase::watching));
  fleet.silence("h003", true);
  fleet.tell(Undo{"bob", ""});
  ASSERT_FALSE(fleet.run_until(Phase::undone));
  EXPECT_EQ(fleet.head().step_phase, StepPhase::settling);
  EXPECT_EQ(fleet.serving(kOld), 4U);
  fleet.silence("h003", false);
  ASSERT_TRUE(fleet.run_until(Phase::undone));
  EXPECT_EQ(fleet.serving(kOld), 5U);
}

TEST(Engine, an_emergency_stop_orders_nothing_not_even_back) {
  TestFleet fleet(10);
  fleet.begin();
  ASSERT_TRUE(fleet.run_until_step("rest", StepPhase::baking));
  fleet.tell(EmergencyStop{"eve", true});
  fleet.tell(Undo{"bob", ""});
  fleet.pass(std::chrono::hours(1));
  EXPECT_EQ(fleet.serving(kNew), 10U);
  fleet.tell(EmergencyStop{"eve", false});
  ASSERT_TRUE(fleet.run_until(Phase::undone));
}

TEST(Engine, a_superseded_rollout_orders_nothing_more) {
  TestFleet fleet(10);
  fleet.begin();
  ASSERT_TRUE(fleet.run_until_step("10%", StepPhase::baking));
  fleet.tell(Supersede{"bob", "r2"});
  EXPECT_EQ(fleet.head().phase, Phase::superseded);
  fleet.pass(std::chrono::hours(1));
  EXPECT_EQ(fleet.serving(kNew), 2U);
  EXPECT_FALSE(fleet.give(Undo{"bob", ""}));
}

TEST(Engine, one_that_is_undone_before_its_first_move_changes_nothing_and_ends_at_once) {
  for (const auto kind : {StrategyKind::rolling, StrategyKind::canary, StrategyKind::blue_green}) {
    fleet::Strategy strategy = quick(kind);
    strategy.approvals = 1;
    TestFleet fleet(5, strategy);
    fleet.begin();
    fleet.work();
    fleet.silence("h001", true);
    fleet.tell(Pause{"ada", "one moment"});
    fleet.tell(Undo{"bob", "it is the wrong one"});
    EXPECT_EQ(fleet.head().phase, Phase::undone);
    for (const auto& [host, facts] : fleet.facts_) {
      EXPECT_EQ(fleet.assigned(host).order, "r0.0.1");
      EXPECT_EQ(fleet.assigned(host).revision, kOld);
      EXPECT_EQ(fleet.assigned(host).stage, fleet::kNoRevision);
      EXPECT_EQ(fleet.assigned(host, Slot::canary), fleet::Assignment{});
    }
  }
}

TEST(Engine, one_that_is_undone_before_its_first_move_ends_the_slots_that_an_earlier_one_left) {
  fleet::Strategy strategy = quick();
  strategy.approvals = 1;
  TestFleet fleet(3, strategy);
  fleet.facts_["h001"].canary = fleet::Assignment{.revision = kOld, .order = "r0.0.2"};
  fleet.seen("h001", Slot::canary) = {.revision = kOld,
                                      .order = "r0.0.2",
                                      .result = OrderResult::done,
                                      .health = fleet::Health::good,
                                      .connections = 7};
  fleet.keep_canary("h001");
  fleet.begin();
  fleet.tell(Undo{"bob", "it is the wrong one"});
  ASSERT_EQ(fleet.head().phase, Phase::undone);
  EXPECT_TRUE(fleet.engine().has_lingering_canaries());
  EXPECT_EQ(fleet.serves("h001", Slot::canary), kOld);
  fleet.seen("h001", Slot::canary).connections = 0;
  fleet.report("h001", Slot::canary);
  fleet.work();
  EXPECT_EQ(fleet.serves("h001", Slot::canary), fleet::kNoRevision);
  EXPECT_FALSE(fleet.engine().has_lingering_canaries());
}

TEST(Engine, one_that_waits_for_one_that_waits_waits_for_the_oldest_when_that_is_undone) {
  TestFleet fleet(2);
  fleet.begin("r0b");
  fleet.tell(PredecessorEnded{"r0a"});
  EXPECT_EQ(fleet.head().phase, Phase::waiting);
  EXPECT_EQ(fleet.head().behind, "r0a");
  EXPECT_THAT(fleet.engine().progress(fleet.now_).waits_for, HasSubstr("r0a"));
}

TEST(Engine, one_that_waits_begins_when_the_other_has_ended) {
  TestFleet fleet(3);
  fleet.begin("r0");
  EXPECT_EQ(fleet.head().phase, Phase::waiting);
  EXPECT_THAT(fleet.engine().progress(fleet.now_).waits_for, HasSubstr("rollout r0"));
  fleet.tell(PredecessorEnded{});
  fleet.restart();
  ASSERT_TRUE(fleet.run_until(Phase::done));
}

TEST(Engine, time_is_counted_on_a_clock_that_does_not_jump) {
  TestFleet fleet(30);
  fleet.begin();
  ASSERT_TRUE(fleet.run_until_step("1 host", StepPhase::baking));
  fleet.now_.real += std::chrono::hours(24);
  fleet.pass(seconds(1));
  EXPECT_EQ(fleet.serving(kNew), 1U);
  fleet.now_.real -= std::chrono::hours(48);
  fleet.pass(seconds(5));
  ASSERT_TRUE(fleet.run_until_step("10%", StepPhase::baking));
}

TEST(Admission, says_whether_it_starts_waits_or_supersedes) {
  EXPECT_EQ(admit(fleet::MeanwhilePolicy::queue, {})->kind, Admission::Kind::starts);
  Rollout running;
  running.id = "r7";
  running.phase = Phase::running;
  const auto waits = admit(fleet::MeanwhilePolicy::queue, {running});
  EXPECT_EQ(waits->kind, Admission::Kind::queues);
  EXPECT_EQ(waits->behind, "r7");
  const auto takes = admit(fleet::MeanwhilePolicy::supersede, {running});
  EXPECT_EQ(takes->kind, Admission::Kind::supersedes);
  EXPECT_THAT(takes->text, HasSubstr("r7"));
  Rollout next = running;
  next.id = "r8";
  next.phase = Phase::waiting;
  next.behind = "r7";
  const auto in_its_place = admit(fleet::MeanwhilePolicy::supersede, {running, next});
  EXPECT_EQ(in_its_place->supersedes, "r8");
  EXPECT_EQ(in_its_place->behind, "r7") << "which is still under way";
  running.phase = Phase::undoing;
  EXPECT_EQ(admit(fleet::MeanwhilePolicy::supersede, {running})->kind, Admission::Kind::queues);
  EXPECT_FALSE(admit(fleet::MeanwhilePolicy::queue, std::vector<Rollout>(11, running)));
}

}  // namespace
}  // namespace segue::rollout
