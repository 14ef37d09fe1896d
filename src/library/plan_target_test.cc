// SPDX-License-Identifier: Apache-2.0
#include "library/plan_target.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "library/test_library.h"
#include "plan/plan_document.h"

namespace segue::library {
namespace {

namespace fs = std::filesystem;

using base::ErrorCode;
using std::chrono::hours;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr GcPolicy kKeepOneAtOnce{.keep_releases = 1, .keep_younger = {}, .grace = seconds(0)};

class LibraryPlansTest : public testing::Test {
 protected:
  [[nodiscard]] plan::Plan plan(const std::string& id, const std::string& version,
                                seconds in) const {
    plan::Plan plan;
    plan.id = id;
    plan.component = "chat";
    plan.version = version;
    plan.created = std::chrono::floor<seconds>(library_.clock.realtime_now());
    plan.sites = {{"berlin", "Europe/Berlin", plan.created + in}};
    return plan;
  }
  base::Result<void> add(const plan::Plan& plan) {
    SEGUE_ASSIGN(Publisher publisher, library_.open());
    return publisher.add_plan(plan, false);
  }
  base::Result<plan::Plan> cancel(const std::string& id) {
    SEGUE_ASSIGN(Publisher publisher, library_.open());
    return publisher.cancel_plan(
        id, {std::chrono::floor<seconds>(library_.clock.realtime_now()), "not now"});
  }
  [[nodiscard]] std::vector<plan::Plan> plans() const {
    const auto opened = Library::open(library_.path());
    EXPECT_TRUE(opened) << opened.error().to_string();
    auto plans = plans_of(opened->repository(), opened->objects());
    EXPECT_TRUE(plans) << plans.error().to_string();
    return *std::move(plans);
  }
  base::Result<GcReport> gc() {
    SEGUE_ASSIGN(Publisher publisher, library_.open());
    return publisher.gc(kKeepOneAtOnce);
  }

  TestLibrary library_;
};

TEST_F(LibraryPlansTest, hold_what_was_added_and_cancelled_beside_releases) {
  ASSERT_TRUE(library_.publish("1.0", test_release(1)));
  const plan::Plan first = plan("a", "1.0", hours(48));
  ASSERT_TRUE(add(first));
  ASSERT_TRUE(add(plan("b", "2.0", hours(72))));
  const auto cancelled = cancel("b");
  ASSERT_TRUE(cancelled) << cancelled.error().to_string();
  EXPECT_EQ(plans(), (std::vector{first, *cancelled}));
  EXPECT_EQ(plans()[1].cancelled->reason, "not now");
  EXPECT_THAT(library_.versions(), ElementsAre("1.0"));
  expect_whole(library_.path());
}

TEST_F(LibraryPlansTest, begin_a_library_that_has_no_release) {
  ASSERT_TRUE(add(plan("a", "1.0", hours(1))));
  EXPECT_EQ(plans().size(), 1U);
}

TEST_F(LibraryPlansTest, are_neither_replaced_nor_cancelled_twice) {
  ASSERT_TRUE(add(plan("a", "1.0", hours(1))));
  const auto again = add(plan("a", "2.0", hours(2)));
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code(), ErrorCode::already_exists);
  EXPECT_EQ(cancel("missing").error().code(), ErrorCode::not_found);
  ASSERT_TRUE(cancel("a"));
  EXPECT_EQ(cancel("a").error().code(), ErrorCode::failed_precondition);
}

TEST_F(LibraryPlansTest, are_signed_by_a_key_of_their_own_once_it_was_given) {
  ASSERT_TRUE(library_.publish("1.0", test_release(1)));
  library_.signers["plans"] = {test_key(9)};
  ASSERT_TRUE(add(plan("a", "1.0", hours(1))));
  library_.signers["plans"] = {test_key(8)};
  const auto refused = add(plan("b", "1.0", hours(1)));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::failed_precondition);
  EXPECT_THAT(refused.error().to_string(), HasSubstr("plans"));
  library_.signers["plans"] = {test_key(9)};
  library_.signers.erase("targets");
  EXPECT_TRUE(add(plan("b", "1.0", hours(1))));
}

TEST_F(LibraryPlansTest, leave_the_library_only_long_after_they_are_over) {
  ASSERT_TRUE(add(plan("old", "1.0", hours(1))));
  ASSERT_TRUE(cancel("old"));
  library_.clock.advance(std::chrono::days(30));
  ASSERT_TRUE(add(plan("next", "1.0", hours(1))));
  EXPECT_EQ(plans().size(), 2U);
  library_.clock.advance(std::chrono::days(40));
  ASSERT_TRUE(add(plan("last", "1.0", hours(1))));
  EXPECT_EQ(plans().size(), 2U);
  EXPECT_EQ(plans()[0].id, "last");
}

TEST_F(LibraryPlansTest, freeze_publishing_while_they_go_live) {
  ASSERT_TRUE(library_.publish("1.0", test_release(1)));
  ASSERT_TRUE(add(plan("a", "1.0", hours(2))));
  ASSERT_TRUE(library_.publish("1.1", test_release(2)));
  library_.clock.advance(hours(2));
  const auto frozen = library_.publish("1.2", test_release(3));
  ASSERT_FALSE(frozen);
  EXPECT_EQ(frozen.error().code(), ErrorCode::failed_precondition);
  EXPECT_THAT(frozen.error().message(), HasSubstr("while plan a goes live"));
  EXPECT_TRUE(library_.publish("1.1", test_release(2)));  // that it is there is no news
  ASSERT_TRUE(cancel("a"));
  EXPECT_TRUE(library_.publish("1.2", test_release(3)));
}

TEST_F(LibraryPlansTest, keep_what_they_name_and_what_hosts_come_from) {
  for (unsigned i = 1; i <= 5; ++i) {
    ASSERT_TRUE(library_.publish(fmt::format("{}.0", i), test_release(i)));
    if (i == 4) {
      ASSERT_TRUE(add(plan("a", "4.0", hours(5'000))));
    }
  }
  library_.clock.advance(hours(4'000));
  const auto report = gc();
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_EQ(report->planned, 4U);  // 4.0 and the three from which there are deltas to it
  EXPECT_TRUE(report->retired.empty());
  EXPECT_EQ(patched(library_.path(), "3.0", "4.0"), test_release(4));
  ASSERT_TRUE(cancel("a"));
  library_.clock.advance(hours(1));
  ASSERT_TRUE(gc());
  EXPECT_THAT(library_.versions(), ElementsAre("5.0"));
  EXPECT_EQ(plans().size(), 1U);  // its document stays as long as the role names it
}

TEST_F(LibraryPlansTest, keep_what_went_live_last_and_what_was_before_it) {
  for (unsigned i = 1; i <= 5; ++i) {
    ASSERT_TRUE(library_.publish(fmt::format("{}.0", i), test_release(i)));
  }
  for (unsigned i = 1; i <= 3; ++i) {
    ASSERT_TRUE(add(plan(fmt::format("to-{}", i), fmt::format("{}.0", i), hours(i))));
  }
  library_.clock.advance(hours(24));
  library_.signers["chat"] = library_.signers["targets"];
  const auto report = gc();
  ASSERT_TRUE(report) << report.error().to_string();
  for (const std::string version : {"2.0", "3.0", "5.0"}) {
    EXPECT_THAT(library_.versions(), testing::Contains(version));
  }
}

TEST_F(LibraryPlansTest, stop_gc_when_one_cannot_be_read) {
  for (unsigned i = 1; i <= 3; ++i) {
    ASSERT_TRUE(library_.publish(fmt::format("{}.0", i), test_release(i)));
  }
  const plan::Plan lost = plan("a", "1.0", hours(5));
  ASSERT_TRUE(add(lost));
  const auto object = object_path(plan_target_of(lost).document.sha256);
  fs::remove(fs::path(library_.path()) / object);
  EXPECT_FALSE(gc());
  EXPECT_EQ(library_.versions().size(), 3U);
  const auto unsure = library_.publish("4.0", test_release(4));
  ASSERT_FALSE(unsure);
}

TEST(PlanTarget, is_read_as_it_was_written_and_keeps_what_it_does_not_know) {
  plan::Plan plan;
  plan.id = "a";
  plan.component = "chat";
  plan.version = "1";
  plan.created = std::chrono::sys_days(std::chrono::year(2026) / 11 / 1);
  plan.sites = {{"berlin", "Europe/Berlin", plan.created + hours(10)}};
  plan.cancelled = plan::Cancellation{plan.created + hours(1), "why"};
  PlanTarget target = plan_target_of(plan);
  target.extra["later"] = 1;
  const auto read = parse_plan_target("plans/a.json", to_target(target));
  ASSERT_TRUE(read) << read.error().to_string();
  EXPECT_EQ(*read, target);
  EXPECT_EQ(read_plan_document(*read, delta::view_of(plan::write_plan(plan))), plan);
}

TEST(PlanTarget, refuses_what_is_out_of_bounds_or_elsewhere) {
  plan::Plan plan;
  plan.id = "a";
  plan.component = "chat";
  const PlanTarget good = plan_target_of(plan);
  const auto refused = [](const std::string& path, const tuf::TargetFile& target) {
    const auto read = parse_plan_target(path, target);
    return !read && read.error().code() == ErrorCode::data_loss;
  };
  const tuf::TargetFile target = to_target(good);
  for (const char* path : {"chat/a.json", "plans/a", "plans/.json", "plans/../a.json", "plans.json",
                           "plans/a/b.json"}) {
    EXPECT_TRUE(refused(path, target)) << path;
  }
  tuf::TargetFile large = target;
  large.length = plan::kMaxPlanBytes + 1;
  EXPECT_TRUE(refused("plans/a.json", large));
  tuf::TargetFile bare = target;
  bare.custom = {};
  EXPECT_TRUE(refused("plans/a.json", bare));
  tuf::TargetFile undigested = target;
  undigested.hashes.clear();
  EXPECT_TRUE(refused("plans/a.json", undigested));
}

TEST(PlanTarget, takes_no_document_that_says_something_else) {
  plan::Plan plan;
  plan.id = "a";
  plan.component = "chat";
  plan.version = "1";
  plan.created = std::chrono::sys_days(std::chrono::year(2026) / 11 / 1);
  plan.sites = {{"berlin", "Europe/Berlin", plan.created + hours(10)}};
  const std::string document = plan::write_plan(plan);
  PlanTarget target = plan_target_of(plan);
  EXPECT_TRUE(read_plan_document(target, delta::view_of(document)));
  target.cancelled = plan::Cancellation{plan.created, ""};
  EXPECT_FALSE(read_plan_document(target, delta::view_of(document)));
  target = plan_target_of(plan);
  target.id = "b";
  EXPECT_FALSE(read_plan_document(target, delta::view_of(document)));
  EXPECT_FALSE(read_plan_document(plan_target_of(plan), delta::view_of(document + " ")));
}

}  // namespace
}  // namespace segue::library
