// SPDX-License-Identifier: Apache-2.0
#include "plan/schedule.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plan/test_times.h"
#include "plans/system_zones.h"

namespace segue::plan {
namespace {

using testing::HasSubstr;

const plans::SystemZones kZones;

Span span_after(const std::string& text, const std::string& zone, const std::string& from) {
  const auto span = next_span(window(text), kZones, zone, utc(from));
  EXPECT_TRUE(span) << span.error().to_string();
  return span.value_or(Span{});
}

Span span(const std::string& from, const std::string& to) {
  return {utc(from), utc(to)};
}

TEST(Windows, are_written_and_read) {
  for (const std::string text : {"Mon,Tue,Wed 01:00-05:00", "daily 22:00-02:00", "Sun 00:00-24:00",
                                 "Sat 12:30:15-12:30:16"}) {
    EXPECT_EQ(to_string(window(text)), text);
  }
  EXPECT_EQ(to_string(window("Fri-Mon 01:00-02:00")), "Mon,Fri,Sat,Sun 01:00-02:00");
  for (const std::string text :
       {"", "Mon", "Mon 01:00", "Mon 01:00-25:00", "Mon 24:00-01:00", "Mon-Xyz 01:00-02:00",
        "Mon 01:00-02:00 ", "mon 01:00-02:00", "Mon, 01:00-02:00", "daily,Mon 01:00-02:00"}) {
    EXPECT_FALSE(parse_window(text)) << text;
  }
}

TEST(Windows, open_on_the_clocks_of_the_site) {
  // 2026-11-21 is a Saturday.
  EXPECT_EQ(span_after("Mon-Fri 01:00-05:00", "Asia/Shanghai", "2026-11-21T12:00:00Z"),
            span("2026-11-22T17:00:00Z", "2026-11-22T21:00:00Z"));
  EXPECT_EQ(span_after("Mon-Fri 01:00-05:00", "Asia/Shanghai", "2026-11-22T20:59:59Z"),
            span("2026-11-22T17:00:00Z", "2026-11-22T21:00:00Z"));
  EXPECT_EQ(span_after("Mon-Fri 01:00-05:00", "Asia/Shanghai", "2026-11-22T21:00:00Z"),
            span("2026-11-23T17:00:00Z", "2026-11-23T21:00:00Z"));
}

TEST(Windows, may_go_on_into_the_next_day) {
  EXPECT_EQ(span_after("Sat 22:00-02:00", "UTC", "2026-11-22T01:00:00Z"),
            span("2026-11-21T22:00:00Z", "2026-11-22T02:00:00Z"));
  EXPECT_EQ(span_after("Sat 22:00-02:00", "UTC", "2026-11-22T02:00:00Z"),
            span("2026-11-28T22:00:00Z", "2026-11-29T02:00:00Z"));
}

TEST(Windows, are_shorter_or_longer_when_clocks_change_in_them) {
  EXPECT_EQ(span_after("daily 01:00-05:00", "Europe/Berlin", "2026-03-28T12:00:00Z"),
            span("2026-03-29T00:00:00Z", "2026-03-29T03:00:00Z"));
  EXPECT_EQ(span_after("daily 01:00-05:00", "Europe/Berlin", "2026-10-24T12:00:00Z"),
            span("2026-10-24T23:00:00Z", "2026-10-25T04:00:00Z"));
}

TEST(Windows, that_clocks_skip_do_not_take_place) {
  EXPECT_EQ(span_after("daily 02:10-02:50", "Europe/Berlin", "2026-03-28T12:00:00Z"),
            span("2026-03-30T00:10:00Z", "2026-03-30T00:50:00Z"));
}

class ScheduleTest : public testing::Test {
 protected:
  Plan plan_ = plan_for("p", "2", utc("2026-12-01T01:30:00Z"));
  std::string zone_ = "Europe/Berlin";
};

TEST_F(ScheduleTest, without_windows_and_freezes_any_time_will_do) {
  EXPECT_TRUE(check_schedule(plan_, kZones));
  EXPECT_EQ(first_allowed(plan_, zone_, kZones, utc("2026-12-05T03:04:05Z")),
            utc("2026-12-05T03:04:05Z"));
}

TEST_F(ScheduleTest, a_time_outside_of_the_windows_is_refused_with_the_next_that_is_inside) {
  plan_.windows = {window("Sat,Sun 01:00-05:00")};
  const auto checked = check_schedule(plan_, kZones);
  ASSERT_FALSE(checked);
  EXPECT_THAT(checked.error().message(), HasSubstr("outside of the windows"));
  EXPECT_THAT(checked.error().message(), HasSubstr("2026-12-05 01:00 CET (+01:00)"));
}

TEST_F(ScheduleTest, a_freeze_goes_before_windows) {
  plan_.windows = {window("daily 01:00-05:00")};
  plan_.freezes = {{"2026-11-30T00:00 local", "2026-12-24T03:00 local", "end of the year"},
                   {"2026-12-24T03:00 local", "2026-12-27T06:00 local", "holidays"}};
  const auto hold = hold_at(plan_, zone_, kZones, plan_.sites[0].at);
  ASSERT_TRUE(hold && *hold);
  EXPECT_EQ((*hold)->until, utc("2026-12-24T02:00:00Z"));
  EXPECT_THAT((*hold)->why, HasSubstr("end of the year"));
  EXPECT_EQ(first_allowed(plan_, zone_, kZones, plan_.sites[0].at), utc("2026-12-28T00:00:00Z"));
}

TEST_F(ScheduleTest, a_freeze_that_ends_before_it_begins_is_refused) {
  plan_.freezes = {{"2026-12-27T06:00 UTC", "2026-12-24T03:00 UTC", "?"}};
  EXPECT_FALSE(check_schedule(plan_, kZones));
}

TEST_F(ScheduleTest, windows_within_a_freeze_for_ever_leave_no_time) {
  plan_.windows = {window("daily 01:00-05:00")};
  plan_.freezes = {{"2026-11-30T00:00 local", "2037-12-31T23:00 local", "given up"}};
  const auto next = first_allowed(plan_, zone_, kZones, plan_.sites[0].at);
  EXPECT_EQ(next.value_or(utc("2000-01-01T00:00:00Z")) >= utc("2037-12-31T22:00:00Z"), true);
}

TEST_F(ScheduleTest, a_missed_time_comes_again_with_the_next_window_not_with_the_one_that_is_open) {
  plan_.windows = {window("daily 01:00-05:00")};
  const Instant due = plan_.sites[0].at;
  EXPECT_EQ(after_missed(plan_, zone_, kZones, due, utc("2026-12-01T02:00:00Z")),
            utc("2026-12-02T00:00:00Z"));
  EXPECT_EQ(after_missed(plan_, zone_, kZones, due, utc("2026-12-03T12:00:00Z")),
            utc("2026-12-04T00:00:00Z"));
}

TEST_F(ScheduleTest, without_windows_a_missed_time_comes_again_at_the_same_time_of_day) {
  plan_.sites[0].at = utc("2026-10-24T00:30:00Z");  // 02:30 in Berlin, and clocks change next night
  EXPECT_EQ(after_missed(plan_, zone_, kZones, plan_.sites[0].at, utc("2026-10-24T01:00:00Z")),
            utc("2026-10-25T00:30:00Z"));
  EXPECT_EQ(after_missed(plan_, zone_, kZones, plan_.sites[0].at, utc("2026-10-25T00:30:00Z")),
            utc("2026-10-26T01:30:00Z"));
}

TEST_F(ScheduleTest, publishing_is_frozen_from_before_the_first_site_to_after_the_last) {
  plan_.sites.push_back({"tokyo", "Asia/Tokyo", utc("2026-12-01T03:00:00Z")});
  const std::vector<Plan> plans = {plan_};
  EXPECT_FALSE(publishing_freeze(plans, "chat", utc("2026-12-01T01:19:59Z")));
  const auto freeze = publishing_freeze(plans, "chat", utc("2026-12-01T01:20:00Z"));
  ASSERT_TRUE(freeze);
  EXPECT_EQ(freeze->plan, "p");
  EXPECT_EQ(freeze->to, utc("2026-12-01T03:25:00Z"));
  EXPECT_FALSE(publishing_freeze(plans, "other", utc("2026-12-01T02:00:00Z")));
  EXPECT_TRUE(check_publishing(plans, "other", utc("2026-12-01T02:00:00Z")));
  const auto frozen = check_publishing(plans, "chat", utc("2026-12-01T02:00:00Z"));
  ASSERT_FALSE(frozen);
  EXPECT_EQ(frozen.error().message(),
            "publishing of chat is frozen until 2026-12-01 03:25Z, while plan p goes live: publish "
            "after it, or cancel the plan");
  EXPECT_FALSE(publishing_freeze(plans, "chat", utc("2026-12-01T03:25:00Z")));
  plan_.cancelled = Cancellation{utc("2026-12-01T00:00:00Z"), "no"};
  EXPECT_FALSE(publishing_freeze({plan_}, "chat", utc("2026-12-01T02:00:00Z")));
}

TEST_F(ScheduleTest, hosts_need_what_is_planned_what_went_live_last_and_what_was_before_it) {
  std::vector<Plan> plans;
  for (const char* day : {"01", "02", "03", "04", "05"}) {
    plan_.id = plan_.version = day;
    plan_.sites[0].at = utc(fmt::format("2026-12-{}T02:00:00Z", day));
    plans.push_back(plan_);
  }
  plans[4].cancelled = Cancellation{utc("2026-12-01T00:00:00Z"), "no"};
  using Versions = std::map<std::string, std::set<std::string>>;
  EXPECT_EQ(needed_versions(plans, utc("2026-12-03T12:00:00Z")),
            (Versions{{"chat", {"02", "03", "04"}}}));
  plans[0].missed = MissedPolicy::at_once;  // some host may come with it
  EXPECT_EQ(needed_versions(plans, utc("2026-12-04T12:00:00Z")),
            (Versions{{"chat", {"01", "03", "04"}}}));
  EXPECT_EQ(needed_versions(plans, utc("2027-12-04T12:00:00Z")),
            (Versions{{"chat", {"03", "04"}}}));
  plans[2].sites[0].name = "tokyo";
  EXPECT_EQ(needed_versions(plans, utc("2027-12-04T12:00:00Z")),
            (Versions{{"chat", {"02", "03", "04"}}}));
}

}  // namespace
}  // namespace segue::plan
