// SPDX-License-Identifier: Apache-2.0
#include "plan/plan_document.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plan/test_times.h"

namespace segue::plan {
namespace {

using testing::HasSubstr;

constexpr const char* kGolden =
    R"({"at":"2026-12-01T02:00 local","cancelled":{"at":"2026-11-30T00:00:00Z","reason":"not yet"},)"
    R"("component":"chat","created":"2026-11-21T12:00:00Z",)"
    R"("freezes":[{"from":"2026-12-24T00:00 local","reason":"holidays","to":"2027-01-02T00:00 local"}],)"
    R"("go_live_limit_s":900,"id":"chat-2","late_limit_s":600,"missed":"next-window",)"
    R"("publishing_freeze_s":600,"segue_plan":1,)"
    R"("sites":[{"at":"2026-12-01T01:00:00Z","name":"berlin","zone":"Europe/Berlin"}],)"
    R"("staging_estimate_s":1800,"version":"2","windows":["Tue,Wed 01:00-05:00"]})"
    "\n";

Plan golden_plan() {
  Plan plan = plan_for("chat-2", "2", utc("2026-12-01T01:00:00Z"));
  plan.at = "2026-12-01T02:00 local";
  plan.windows = {window("Tue,Wed 01:00-05:00")};
  plan.freezes = {{"2026-12-24T00:00 local", "2027-01-02T00:00 local", "holidays"}};
  plan.missed = MissedPolicy::next_window;
  plan.cancelled = Cancellation{utc("2026-11-30T00:00:00Z"), "not yet"};
  return plan;
}

std::string changed(const std::string& from, const std::string& to) {
  std::string text = kGolden;
  const auto at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

std::string refusal(const std::string& text) {
  const auto plan = read_plan(text);
  return plan ? "accepted" : plan.error().message();
}

TEST(PlanDocument, is_written_and_read_as_recorded) {
  EXPECT_EQ(write_plan(golden_plan()), kGolden);
  const auto plan = read_plan(kGolden);
  ASSERT_TRUE(plan) << plan.error().to_string();
  EXPECT_EQ(*plan, golden_plan());
}

TEST(PlanDocument, of_a_newer_format_says_that_the_program_is_too_old) {
  const auto plan = read_plan(changed("\"segue_plan\":1", "\"segue_plan\":2"));
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code(), base::ErrorCode::failed_precondition);
}

TEST(PlanDocument, with_anything_wrong_is_refused_as_a_whole) {
  EXPECT_THAT(refusal(""), HasSubstr("not JSON"));
  EXPECT_THAT(refusal("[]"), HasSubstr("not an object"));
  EXPECT_THAT(refusal(std::string(kMaxPlanBytes + 1, ' ')), HasSubstr("at most"));
  EXPECT_THAT(refusal(changed("\"version\":\"2\",", "")), HasSubstr("no 'version'"));
  EXPECT_THAT(refusal(changed("\"version\"", "\"unknown\":1,\"version\"")), HasSubstr("unknown"));
  EXPECT_THAT(refusal(changed("\"zone\"", "\"colour\":1,\"zone\"")), HasSubstr("colour"));
  EXPECT_THAT(refusal(changed("\"version\":\"2\"", "\"version\":\"../2\"")), HasSubstr("version"));
  EXPECT_THAT(refusal(changed("\"version\":\"2\"", "\"version\":\"-2\"")), HasSubstr("version"));
  EXPECT_THAT(refusal(changed("next-window", "never")), HasSubstr("missed"));
  EXPECT_THAT(refusal(changed("Europe/Berlin", "../Berlin")), HasSubstr("time zone"));
  EXPECT_THAT(refusal(changed("2026-12-01T01:00:00Z", "2026-12-01 01:00")), HasSubstr("time"));
  EXPECT_THAT(refusal(changed("2026-12-01T01:00:00Z", "2056-12-01T01:00:00Z")), HasSubstr("2037"));
  EXPECT_THAT(refusal(changed("\"late_limit_s\":600", "\"late_limit_s\":99999999")),
              HasSubstr("31 days"));
  EXPECT_THAT(refusal(changed("\"late_limit_s\":600", "\"late_limit_s\":-1")),
              HasSubstr("whole number"));
  EXPECT_THAT(refusal(changed("2026-12-24T00:00 local", "00:00 local")), HasSubstr("no date"));
  EXPECT_THAT(refusal(changed("\"name\":\"berlin\"", "\"name\":\"\"")), HasSubstr("name"));
  Plan twice = golden_plan();
  twice.sites.push_back(twice.sites[0]);
  EXPECT_THAT(refusal(write_plan(twice)), HasSubstr("stands twice"));
  Plan nowhere = golden_plan();
  nowhere.sites.clear();
  EXPECT_THAT(refusal(write_plan(nowhere)), HasSubstr("sites"));
}

}  // namespace
}  // namespace segue::plan
