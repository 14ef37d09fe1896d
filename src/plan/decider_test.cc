// SPDX-License-Identifier: Apache-2.0
#include "plan/decider.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plan/test_times.h"
#include "plans/system_zones.h"

namespace segue::plan {
namespace {

using std::chrono::minutes;
using testing::HasSubstr;

const plans::SystemZones kZones;

class DeciderTest : public testing::Test {
 protected:
  static PlaceDecider::Settings classic() {
    return {.component = "chat", .site = "berlin", .stops = true, .starts = true, .checks = true};
  }
  static PlaceDecider::Settings handing_over() {
    return {
        .component = "chat", .site = "berlin", .starts = true, .hands_over = true, .checks = true};
  }

  void use(const PlaceDecider::Settings& settings) { decider_ = PlaceDecider(settings, kZones); }
  void at(const std::string& time) {
    const base::RealTime real = utc(time);
    now_.monotonic += real - now_.real;
    now_.real = real;
  }
  void clock_is_set_to(const std::string& time) { now_.real = utc(time); }
  void send(const Event& event) {
    for (auto& command : decider_.handle(event, now_)) commands_.push_back(std::move(command));
  }
  void end_step(StepResult result = StepResult::good, const std::string& text = "") {
    const Progress* active = decider_.active();
    ASSERT_NE(active, nullptr);
    send(StepEnded{active->plan.id, active->step, result, text});
  }
  template <class T>
  std::vector<T> take() {
    std::vector<T> found;
    std::erase_if(commands_, [&](const Command& command) {
      if (!std::holds_alternative<T>(command)) return false;
      found.push_back(std::get<T>(command));
      return true;
    });
    return found;
  }
  std::string steps() {
    std::string text;
    for (const auto& run : take<RunStep>()) {
      text += (text.empty() ? "" : " ") + std::string(to_string(run.step));
    }
    return text;
  }
  std::string alarms() {
    std::string text;
    for (const auto& alarm : take<Alarm>()) text += alarm.plan + ": " + alarm.text + "\n";
    return text;
  }
  [[nodiscard]] Phase phase(const std::string& plan = "p") const {
    return decider_.state().plans.at(plan).phase;
  }
  void read_and_stage(const Plan& plan) {
    send(PlansRead{{plan}});
    send(Staged{plan.id, plan.version});
  }

  Now now_{.real = utc("2026-11-30T12:00:00Z"),
           .monotonic = base::MonotonicTime(std::chrono::hours(1))};
  PlaceDecider decider_{classic(), kZones};
  Commands commands_;
  Plan plan_ = plan_for("p", "2", utc("2026-12-01T01:00:00Z"));
};

TEST_F(DeciderTest, stages_ahead_and_goes_live_at_its_time) {
  send(PlansRead{{plan_}});
  ASSERT_EQ(take<Stage>().size(), 1U);
  send(Staged{"p", "2"});
  at("2026-12-01T00:59:59Z");
  send(TimePassed{});
  EXPECT_EQ(steps(), "");
  EXPECT_EQ(decider_.next_deadline(now_).real, base::RealTime(utc("2026-12-01T01:00:00Z")));
  at("2026-12-01T01:00:00Z");
  send(TimePassed{});
  EXPECT_EQ(steps(), "stop-old");
  end_step();
  EXPECT_EQ(steps(), "switch-over");
  end_step();
  EXPECT_EQ(steps(), "start-new");
  end_step();
  EXPECT_EQ(steps(), "check-new");
  end_step();
  EXPECT_EQ(phase(), Phase::live);
  EXPECT_EQ(take<KeepReport>().size(), 1U);
}

TEST_F(DeciderTest, a_bad_health_check_undoes_in_reverse_order) {
  read_and_stage(plan_);
  at("2026-12-01T01:00:00Z");
  send(TimePassed{});
  for (int i = 0; i < 3; ++i) end_step();
  end_step(StepResult::failed, "connection refused");
  for (int i = 0; i < 4; ++i) end_step();
  EXPECT_EQ(steps(),
            "stop-old switch-over start-new check-new stop-new switch-back start-old check-old");
  EXPECT_EQ(phase(), Phase::undone);
  EXPECT_EQ(decider_.state().plans.at("p").text, "check-new: connection refused");
}

TEST_F(DeciderTest, a_handoff_that_did_not_happen_only_needs_the_old_tree_back) {
  use(handing_over());
  read_and_stage(plan_);
  at("2026-12-01T01:00:00Z");
  send(TimePassed{});
  end_step();
  end_step(StepResult::old_serves, "refused");
  end_step();
  end_step();
  EXPECT_EQ(steps(), "switch-over start-new switch-back check-old");
  EXPECT_EQ(phase(), Phase::undone);
}

TEST_F(DeciderTest, policy_may_keep_what_is_not_healthy) {
  auto settings = classic();
  settings.undoes = false;
  use(settings);
  read_and_stage(plan_);
  at("2026-12-01T01:00:00Z");
  send(TimePassed{});
  for (int i = 0; i < 3; ++i) end_step();
  end_step(StepResult::failed, "no");
  EXPECT_EQ(phase(), Phase::failed);
}

TEST_F(DeciderTest, a_version_that_is_not_built_yet_is_asked_for_and_an_alarm_tells_in_time) {
  send(PlansRead{{plan_}});
  send(StagingFailed{"p", "2", true, "chat has no release 2"});
  EXPECT_EQ(take<Stage>().size(), 1U);
  at("2026-12-01T00:22:29Z");
  send(TimePassed{});
  EXPECT_EQ(alarms(), "");
  EXPECT_EQ(take<Stage>().size(), 1U);
  send(StagingFailed{"p", "2", true, "chat has no release 2"});
  at("2026-12-01T00:22:30Z");  // 30 min and a quarter of them before
  send(TimePassed{});
  EXPECT_THAT(alarms(),
              HasSubstr("will be late: version 2 is not staged yet (chat has no release 2)"));
  at("2026-12-01T00:30:00Z");
  send(TimePassed{});
  EXPECT_EQ(alarms(), "");
  send(Staged{"p", "2"});
  at("2026-12-01T01:00:00Z");
  send(TimePassed{});
  EXPECT_EQ(steps(), "stop-old");
}

TEST_F(DeciderTest, what_a_host_measured_goes_before_the_plans_estimate) {
  send(PlansRead{{plan_}});
  send(StagingEstimated{"p", std::chrono::hours(20)});
  EXPECT_THAT(alarms(), HasSubstr("takes about 20 h"));
}

TEST_F(DeciderTest, a_time_that_was_missed_is_skipped) {
  read_and_stage(plan_);
  at("2026-12-01T01:10:01Z");
  send(TimePassed{});
  EXPECT_EQ(steps(), "");
  EXPECT_EQ(phase(), Phase::missed);
}

TEST_F(DeciderTest, a_little_late_is_not_missed) {
  read_and_stage(plan_);
  at("2026-12-01T01:10:00Z");
  send(TimePassed{});
  EXPECT_EQ(steps(), "stop-old");
}

TEST_F(DeciderTest, a_time_that_was_missed_comes_again_with_the_next_window) {
  plan_.missed = MissedPolicy::next_window;
  plan_.windows = {window("Tue-Thu 01:00-05:00")};
  read_and_stage(plan_);
  at("2026-12-01T02:00:00Z");
  send(TimePassed{});
  EXPECT_THAT(alarms(), HasSubstr("2026-12-02 01:00 CET"));
  at("2026-12-02T00:00:00Z");
  send(TimePassed{});
  EXPECT_EQ(steps(), "stop-old");
}

TEST_F(DeciderTest, at_once_is_outside_of_windows_but_in_no_freeze) {
  plan_.missed = MissedPolicy::at_once;
  plan_.windows = {window("Tue-Thu 01:00-05:00")};
  plan_.freezes = {{"2026-12-01T06:00 UTC", "2026-12-01T10:00 UTC", "market"}};
  read_and_stage(plan_);
  at("2026-12-01T08:00:00Z");
  send(TimePassed{});
  EXPECT_EQ(steps(), "");
  EXPECT_EQ(decider_.next_deadline(now_).real, base::RealTime(utc("2026-12-01T10:00:00Z")));
  at("2026-12-01T10:00:00Z");
  send(TimePassed{});
  EXPECT_EQ(steps(), "stop-old");
}

TEST_F(DeciderTest, a_clock_that_jumps_over_the_time_has_to_run_on_for_a_while) {
  read_and_stage(plan_);
  send(TimePassed{});
  clock_is_set_to("2026-12-01T01:00:05Z");
  send(TimePassed{});
  EXPECT_EQ(steps(), "");
  clock_is_set_to("2026-11-30T12:00:01Z");  // a mistake, and corrected
  send(TimePassed{});
  at("2026-12-01T01:00:00Z");
  send(TimePassed{});
  EXPECT_EQ(steps(), "stop-old");
}

TEST_F(DeciderTest, a_jump_that_is_meant_counts) {
  read_and_stage(plan_);
  send(TimePassed{});
  clock_is_set_to("2026-12-01T01:00:05Z");
  send(TimePassed{});
  EXPECT_EQ(decider_.next_deadline(now_).monotonic, now_.monotonic + PlaceDecider::kClockSettles);
  at("2026-12-01T01:00:35Z");
  send(TimePassed{});
  EXPECT_EQ(steps(), "stop-old");
}

TEST_F(DeciderTest, a_clock_that_is_put_back_does_not_go_live_twice) {
  read_and_stage(plan_);
  at("2026-12-01T01:00:00Z");
  send(TimePassed{});
  for (int i = 0; i < 4; ++i) end_step();
  EXPECT_EQ(steps(), "stop-old switch-over start-new check-new");
  clock_is_set_to("2026-11-30T12:00:00Z");
  send(PlansRead{{plan_}});
  at("2026-12-01T01:00:00Z");
  send(TimePassed{});
  EXPECT_EQ(steps(), "");
  EXPECT_EQ(phase(), Phase::live);
}

TEST_F(DeciderTest, a_cancelled_plan_does_nothing_and_says_so) {
  read_and_stage(plan_);
  plan_.cancelled = Cancellation{utc("2026-12-01T00:00:00Z"), "not today"};
  send(PlansRead{{plan_}});
  EXPECT_EQ(phase(), Phase::cancelled);
  EXPECT_EQ(take<KeepReport>().size(), 1U);
  at("2026-12-01T01:00:00Z");
  send(TimePassed{});
  EXPECT_EQ(steps(), "");
}

TEST_F(DeciderTest, a_plan_that_is_no_longer_shown_is_kept) {
  read_and_stage(plan_);
  send(PlansRead{{}});
  at("2026-12-01T01:00:00Z");
  send(TimePassed{});
  EXPECT_EQ(steps(), "stop-old");
}

TEST_F(DeciderTest, a_host_that_was_just_started_has_no_time_yet) {
  read_and_stage(plan_);
  now_ = {utc("2026-12-01T01:00:05Z"), base::MonotonicTime(seconds(20))};
  PlaceDecider booted(classic(), kZones, decider_.state());
  EXPECT_TRUE(booted.resume(now_).empty());
  EXPECT_EQ(booted.next_deadline(now_).monotonic,
            base::MonotonicTime(PlaceDecider::kClockSettlesAfterBoot));
  now_ = {utc("2026-11-30T13:00:00Z"), base::MonotonicTime(seconds(40))};  // it was told the time
  EXPECT_TRUE(booted.handle(TimePassed{}, now_).empty());
  now_ = {utc("2026-12-01T01:00:00Z"), base::MonotonicTime(std::chrono::hours(12))};
  EXPECT_TRUE(booted.handle(TimePassed{}, now_).empty());  // of which this test has left out most
  now_.real += PlaceDecider::kClockSettles;
  now_.monotonic += PlaceDecider::kClockSettles;
  EXPECT_EQ(booted.handle(TimePassed{}, now_).size(), 1U);
}

TEST_F(DeciderTest, what_was_staged_for_a_plan_that_names_another_version_now_does_not_count) {
  send(PlansRead{{plan_}});
  ASSERT_EQ(take<Stage>().size(), 1U);
  plan_.version = "3";
  send(PlansRead{{plan_}});
  EXPECT_EQ(take<EndStaging>().size(), 1U);
  const auto next = take<Stage>();
  ASSERT_EQ(next.size(), 1U);
  EXPECT_EQ(next[0].version, "3");
  send(Staged{"p", "2"});
  EXPECT_FALSE(decider_.state().plans.at("p").staged);
  send(Staged{"p", "3"});
  EXPECT_TRUE(decider_.state().plans.at("p").staged);
}

TEST_F(DeciderTest, of_two_whose_times_have_passed_only_the_later_goes_live) {
  plan_.missed = MissedPolicy::at_once;
  Plan later = plan_for("q", "3", utc("2026-12-01T02:00:00Z"));
  later.missed = MissedPolicy::at_once;
  send(PlansRead{{plan_, later}});
  send(Staged{"p", "2"});
  clock_is_set_to("2026-12-01T03:00:00Z");
  send(Staged{"q", "3"});
  at("2026-12-01T03:01:00Z");
  send(TimePassed{});
  const auto begun = take<RunStep>();
  ASSERT_EQ(begun.size(), 1U);
  EXPECT_EQ(begun[0].version, "3");
  EXPECT_EQ(phase("p"), Phase::superseded);
}

TEST_F(DeciderTest, plans_of_other_components_and_sites_are_none_of_its_business) {
  Plan other = plan_for("q", "3", utc("2026-12-01T02:00:00Z"));
  other.component = "web";
  plan_.sites[0].name = "paris";
  send(PlansRead{{plan_, other}});
  EXPECT_TRUE(decider_.state().plans.empty());
}

TEST_F(DeciderTest, staging_that_fails_is_tried_again_later_and_later) {
  send(PlansRead{{plan_}});
  base::Duration last{};
  for (int i = 0; i < 12; ++i) {
    ASSERT_EQ(take<Stage>().size(), 1U);
    send(StagingFailed{"p", "2", false, "line down"});
    EXPECT_TRUE(take<Stage>().empty());
    const auto delay = decider_.next_deadline(now_).monotonic - now_.monotonic;
    EXPECT_GE(delay, last);
    EXPECT_LE(delay, PlaceDecider::kMaxRetry);
    last = delay;
    now_.monotonic += delay;
    now_.real += delay;
    send(TimePassed{});
  }
  EXPECT_EQ(last, PlaceDecider::kMaxRetry);
}

TEST_F(DeciderTest, staging_of_the_next_version_waits_while_another_goes_live) {
  Plan later = plan_for("q", "3", utc("2026-12-01T02:00:00Z"));
  send(PlansRead{{plan_, later}});
  send(Staged{"p", "2"});
  EXPECT_EQ(take<Stage>().size(), 2U);
  at("2026-12-01T01:00:00Z");
  send(TimePassed{});
  EXPECT_EQ(take<EndStaging>().size(), 1U);
  EXPECT_EQ(steps(), "stop-old");
  send(StagingFailed{"q", "3", false, "ended"});
  EXPECT_TRUE(take<Stage>().empty());
}

TEST_F(DeciderTest, an_interrupted_go_live_that_took_too_long_is_undone) {
  read_and_stage(plan_);
  at("2026-12-01T01:00:00Z");
  send(TimePassed{});
  for (int i = 0; i < 2; ++i) end_step();
  EXPECT_EQ(steps(), "stop-old switch-over start-new");
  const auto kept = read_place_state(write_place_state(decider_.state()));
  ASSERT_TRUE(kept) << kept.error().to_string();
  EXPECT_EQ(*kept, decider_.state());

  PlaceDecider soon(classic(), kZones, *kept);
  at("2026-12-01T01:14:00Z");
  commands_ = soon.resume(now_);
  EXPECT_EQ(steps(), "start-new");

  PlaceDecider late(classic(), kZones, *kept);
  at("2026-12-01T01:15:01Z");
  commands_ = late.resume(now_);
  EXPECT_EQ(steps(), "stop-new");
}

TEST_F(DeciderTest, old_plans_make_room_only_where_nobody_shows_them_any_more) {
  std::vector<Plan> plans;
  for (std::size_t i = 0; i < PlaceDecider::kMaxPlans; ++i) {
    plans.push_back(plan_for("p" + std::to_string(i), "2", utc("2026-12-01T01:00:00Z")));
    plans.back().cancelled = Cancellation{utc("2026-11-30T00:00:00Z"), ""};
  }
  send(PlansRead{plans});
  for (const auto& plan : plans) send(ReportKept{plan.id});
  plans.push_back(plan_);
  send(PlansRead{plans});
  EXPECT_THAT(alarms(), HasSubstr("is not kept"));
  send(PlansRead{{plan_}});
  EXPECT_EQ(phase(), Phase::waiting);
}

}  // namespace
}  // namespace segue::plan
