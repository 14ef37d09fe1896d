// SPDX-License-Identifier: Apache-2.0
#include "agent/place_agent.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "agent/test_host.h"

namespace segue::agent {
namespace {

using testing::HasSubstr;

constexpr std::uint32_t kBadForS = 5;  // what is bad is found to be so only when that has passed

TEST(PlaceAgent, goes_live_at_the_preset_time_with_nobody_there_and_reports) {
  TestHost host;
  host.publish("2");
  host.add(host.plan("p", "2", 1));
  ASSERT_TRUE(host.run_until_reported("p"));
  EXPECT_EQ(host.outcome("p"), "live") << host.report("p");
  EXPECT_EQ(host.read("place/live"), "2");
  EXPECT_EQ(host.read("place/running"), "2");
  EXPECT_EQ(host.read("log"), "stop-old\nstart-new");
}

TEST(PlaceAgent, undoes_what_is_not_healthy) {
  TestHost host;
  host.place.health_within_s = kBadForS;
  host.publish("bad");
  host.add(host.plan("p", "bad"));
  ASSERT_TRUE(host.run_until_reported("p"));
  EXPECT_EQ(host.outcome("p"), "undone");
  EXPECT_EQ(host.read("place/live"), "1");
  EXPECT_EQ(host.read("place/running"), "1");
  EXPECT_THAT(host.report("p"), HasSubstr("check-new"));
}

TEST(PlaceAgent, puts_the_old_one_back_when_the_tree_cannot_be_switched) {
  TestHost host;
  host.publish("2");
  host.place.start += "; rm -f " + host.path("place/broken");
  host.place.stop += "; touch " + host.path("place/broken");
  host.add(host.plan("p", "2"));
  ASSERT_TRUE(host.run_until_reported("p"));
  EXPECT_EQ(host.outcome("p"), "undone");
  EXPECT_EQ(host.read("place/running"), "1");
}

TEST(PlaceAgent, a_command_past_its_limit_has_failed) {
  TestHost host;
  host.publish("2");
  host.place.step_limit_s = 1;
  host.place.start = "[ $SEGUE_STEP = start-old ] || exec sleep 60; cp " + host.path("place/live") +
                     " " + host.path("place/running");
  host.add(host.plan("p", "2"));
  ASSERT_TRUE(host.run_until_reported("p"));
  EXPECT_EQ(host.outcome("p"), "undone");
  EXPECT_THAT(host.report("p"), HasSubstr("did not end within 1.0"));
}

TEST(PlaceAgent, a_handoff_that_was_refused_leaves_the_old_one_alone) {
  TestHost host;
  host.publish("2");
  host.place.stop.clear();
  host.place.start.clear();
  host.place.upgrade = "echo $SEGUE_STEP >>" + host.path("log") + "; exit 4";
  host.add(host.plan("p", "2"));
  ASSERT_TRUE(host.run_until_reported("p"));
  EXPECT_EQ(host.outcome("p"), "undone");
  EXPECT_EQ(host.read("place/live"), "1");
  EXPECT_EQ(host.read("log"), "start-new");
}

TEST(PlaceAgent, a_version_that_is_not_built_raises_an_alarm_and_is_missed) {
  TestHost host;
  plan::Plan plan = host.plan("p", "2", 2);
  plan.late_limit = std::chrono::seconds(0);
  host.add(plan);
  ASSERT_TRUE(host.run_until_reported("p"));
  EXPECT_EQ(host.outcome("p"), "missed");
  EXPECT_THAT(host.read("plans/reports/p,default,host1,alarm.json"), HasSubstr("will be late"));
}

// ---- Killed before and after every step, in a process of its own

class KilledAt : public testing::TestWithParam<std::string> {};

void run_until_killed(TestHost& host) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    const bool reported = static_cast<bool>(host.run_until_reported("p"));
    ::_exit(reported ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  ASSERT_TRUE(WIFSIGNALED(status)) << "it went past " << host.fault;
  ASSERT_EQ(WTERMSIG(status), SIGKILL);
}

TEST_P(KilledAt, the_next_agent_finishes_what_was_begun) {
  const bool goes_back = GetParam().starts_with("stop-new") ||
                         GetParam().starts_with("switch-back") ||
                         GetParam().find("-old:") != std::string::npos;
  const bool is_bad = goes_back && !GetParam().starts_with("stop-old");
  for (const bool bad : {false, true}) {
    if (is_bad && !bad) continue;
    TestHost host;
    const std::string version = bad ? "bad" : "2";
    if (bad) host.place.health_within_s = kBadForS;
    host.publish(version);
    host.fault = GetParam();
    host.add(host.plan("p", version));
    run_until_killed(host);
    if (HasFatalFailure()) return;
    host.fault.clear();
    ASSERT_TRUE(host.run_until_reported("p"));
    EXPECT_EQ(host.outcome("p"), bad ? "undone" : "live");
    EXPECT_EQ(host.read("place/live"), bad ? "1" : version);
    EXPECT_EQ(host.read("place/running"), bad ? "1" : version);
  }
}

INSTANTIATE_TEST_SUITE_P(
    EveryStep, KilledAt, testing::ValuesIn([] {
      std::vector<std::string> points;
      for (const std::string step : {"stop-old", "switch-over", "start-new", "check-new",
                                     "stop-new", "switch-back", "start-old", "check-old"}) {
        points.push_back(step + ":before");
        points.push_back(step + ":after");
      }
      return points;
    }()),
    [](const testing::TestParamInfo<std::string>& point) {
      std::string name = point.param;
      std::replace_if(name.begin(), name.end(), [](char c) { return c == '-' || c == ':'; }, '_');
      return name;
    });

// ---- What is kept

TEST(PlaceAgent, with_a_state_that_is_damaged_does_not_begin) {
  TestHost host;
  host.publish("2");
  host.add(host.plan("p", "2"));
  ASSERT_TRUE(host.run_until_reported("p"));
  host.write("state/places/chat/state.json", "{\"segue_place_state\": 1,");
  const auto ran = host.run_until_reported("q");  // ends at once
  EXPECT_FALSE(ran);
  EXPECT_THAT(ran.message(), HasSubstr("move it away to begin anew"));
}

TEST(PlaceAgent, does_nothing_that_it_could_not_write_down) {
  TestHost host;
  host.publish("2");
  host.add(host.plan("p", "2"));
  const pid_t pid = ::fork();
  if (pid == 0) {
    const os::ResourceLimit none{.soft = 0, .hard = 0};  // every write is one too many
    ::signal(SIGXFSZ, SIG_IGN);
    const bool limited = os::set_resource_limit(0, RLIMIT_FSIZE, none).has_value();
    const bool ran = static_cast<bool>(host.run_until_reported("p", std::chrono::seconds(3)));
    ::_exit(limited && !ran ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(host.read("place/live"), "1");
  EXPECT_EQ(host.read("log"), "");
  ASSERT_TRUE(host.run_until_reported("p"));
  EXPECT_EQ(host.outcome("p"), "live");
}

}  // namespace
}  // namespace segue::agent
