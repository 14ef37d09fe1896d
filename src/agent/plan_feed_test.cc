// SPDX-License-Identifier: Apache-2.0
#include "agent/plan_feed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "agent/test_host.h"

namespace segue::agent {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class PlanFeedTest : public testing::Test {
 protected:
  void open(base::Duration alarm_after) {
    feed_ = *PlanFeed::open(loop_, clock_, log_,
                            {.library = host_.path("library"),
                             .directory = host_.path("fetched"),
                             .root = [] { return std::string(); },
                             .components = {"chat"},
                             .segue = host_.path("segue"),
                             .environment = {"PATH=/usr/bin:/bin"},
                             .interval = std::chrono::milliseconds(5),
                             .alarm_after = alarm_after},
                            [this](const std::string& text) { alarms_.push_back(text); });
    feed_->start();
  }
  template <class Condition>
  void run_until(Condition condition) {
    const auto until = clock_.monotonic_now() + std::chrono::seconds(50);
    while (!condition()) {
      ASSERT_LT(clock_.monotonic_now(), until) << "not in time";
      ASSERT_TRUE(loop_.run_once(std::chrono::milliseconds(50)));
    }
  }
  [[nodiscard]] std::vector<std::string> here() const {
    std::vector<std::string> ids;
    const auto contents = feed_->read();
    for (const auto& plan : contents->plans) ids.push_back(plan.id);
    return ids;
  }

  TestHost host_;
  os::SystemClock clock_;
  base::Log log_{{.fd = 2, .level = base::LogLevel::error, .now = nullptr}};
  os::EpollLoop loop_ = *os::EpollLoop::create(clock_);
  std::unique_ptr<PlanFeed> feed_;
  std::vector<std::string> alarms_;
};

TEST_F(PlanFeedTest, brings_plans_again_and_again) {
  open(std::chrono::hours(1));
  host_.add(host_.plan("a", "2", 1'000), "library/plans");
  run_until([&] { return here().size() == 1; });
  host_.add(host_.plan("b", "2", 2'000), "library/plans");
  run_until([&] { return here().size() == 2; });
  EXPECT_THAT(alarms_, IsEmpty());
}

TEST_F(PlanFeedTest, raises_one_alarm_when_it_was_long_ago_and_keeps_what_is_there) {
  host_.add(host_.plan("a", "2", 1'000), "library/plans");
  open(base::Duration(0));
  run_until([&] { return here().size() == 1; });
  EXPECT_THAT(alarms_, IsEmpty());
  std::filesystem::remove_all(host_.path("library"));
  run_until([&] { return !alarms_.empty(); });
  const auto later = clock_.monotonic_now() + std::chrono::milliseconds(100);
  run_until([&] { return clock_.monotonic_now() > later; });
  ASSERT_EQ(alarms_.size(), 1U);
  EXPECT_THAT(alarms_[0], HasSubstr("could not be refreshed since"));
  EXPECT_THAT(alarms_[0], HasSubstr("no line"));
  EXPECT_THAT(here(), ElementsAre("a"));
}

TEST(AgentWithLibrary, goes_live_by_a_plan_of_its_places_library) {
  TestHost host;
  host.fetches_plans = true;
  host.publish("2");
  host.add(host.plan("p", "2", 1), "library/plans");
  ASSERT_TRUE(host.run_until_reported("p"));
  EXPECT_EQ(host.outcome("p"), "live") << host.report("p");
}

TEST(AgentWithLibrary, takes_the_librarys_plan_before_one_of_that_name_beside_it) {
  TestHost host;
  host.fetches_plans = true;
  host.publish("2");
  plan::Plan cancelled = host.plan("p", "2", 1);
  host.add(cancelled);
  cancelled.cancelled = plan::Cancellation{cancelled.created, "no"};
  host.add(cancelled, "library/plans");
  std::filesystem::create_directories(
      PlanFeed::directory_of(host.path("state"), host.path("library")));
  for (const char* folder : {"state", "state/plans"}) {
    std::filesystem::permissions(host.path(folder), std::filesystem::perms::owner_all);
  }
  const std::string fetched = PlanFeed::directory_of(host.path("state"), host.path("library"));
  std::filesystem::permissions(fetched, std::filesystem::perms::owner_all);
  std::filesystem::copy(host.path("library/plans"), fetched,
                        std::filesystem::copy_options::recursive);
  ASSERT_TRUE(host.run_until_reported("p"));
  EXPECT_EQ(host.outcome("p"), "cancelled") << host.report("p");
}

}  // namespace
}  // namespace segue::agent
