// SPDX-License-Identifier: Apache-2.0
#include "plans/plan_fetch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "library/test_library.h"
#include "os/files.h"
#include "plan/plan_document.h"
#include "plans/plan_folder.h"

namespace segue::plans {
namespace {

namespace fs = std::filesystem;

using base::ErrorCode;
using std::chrono::hours;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

// A publisher, and a mirror of its library that shows what it likes.
class PlanFetchTest : public testing::Test {
 protected:
  plan::Plan add(const std::string& id, const std::string& component = "chat") {
    plan::Plan plan;
    plan.id = id;
    plan.component = component;
    plan.version = "2.0";
    plan.created = std::chrono::floor<seconds>(library_.clock.realtime_now());
    plan.sites = {{"berlin", "Europe/Berlin", plan.created + hours(48)}};
    auto publisher = library_.open();
    EXPECT_TRUE(publisher);
    const auto added = publisher->add_plan(plan, false);
    EXPECT_TRUE(added) << added.error().to_string();
    return plan;
  }
  plan::Plan cancel(const std::string& id) {
    auto publisher = library_.open();
    EXPECT_TRUE(publisher);
    const plan::Cancellation cancellation{
        std::chrono::floor<seconds>(library_.clock.realtime_now()), "no"};
    auto cancelled = publisher->cancel_plan(id, cancellation);
    EXPECT_TRUE(cancelled) << cancelled.error().to_string();
    return *cancelled;
  }
  void mirror() const {
    fs::remove_all(mirror_);
    fs::copy(library_.path(), mirror_, fs::copy_options::recursive);
  }
  [[nodiscard]] fs::path object_of(const plan::Plan& plan) const {
    return mirror_ / library::object_path(library::plan_target_of(plan).document.sha256);
  }
  static void write(const fs::path& path, const std::string& text) {
    std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
  }
  base::Result<FetchReport> fetch(const std::vector<std::string>& components = {}) {
    return fetch_plans({.directory = directory_,
                        .url = "file://" + mirror_.string(),
                        .root_bytes = library_.root_bytes,
                        .components = components},
                       library_.clock);
  }
  [[nodiscard]] std::vector<plan::Plan> here() const {
    const auto contents = PlanFolder(directory_).read();
    EXPECT_TRUE(contents && contents->unreadable.empty());
    return contents->plans;
  }

  library::TestLibrary library_;
  fs::path mirror_ = library_.directory.path("mirror");
  std::string directory_ = library_.directory.path("host/plans");
};

TEST_F(PlanFetchTest, brings_what_is_planned_and_then_only_what_changed) {
  const plan::Plan a = add("a");
  const plan::Plan b = add("b");
  mirror();
  const auto first = fetch();
  ASSERT_TRUE(first) << first.error().to_string();
  EXPECT_EQ(first->changed, 2U);
  EXPECT_THAT(first->problems, IsEmpty());
  EXPECT_THAT(here(), ElementsAre(a, b));
  EXPECT_EQ(fetched_at(directory_), std::chrono::floor<seconds>(library_.clock.realtime_now()));
  const plan::Plan c = add("c");
  mirror();
  const auto second = fetch();
  ASSERT_TRUE(second);
  EXPECT_EQ(second->changed, 1U);
  EXPECT_THAT(here(), ElementsAre(a, b, c));
}

TEST_F(PlanFetchTest, of_a_library_that_has_none_there_are_none) {
  ASSERT_TRUE(library_.publish("1.0", library::test_release(1)));
  mirror();
  const auto fetched = fetch();
  ASSERT_TRUE(fetched) << fetched.error().to_string();
  EXPECT_EQ(fetched->role_version, 0U);
  EXPECT_THAT(here(), IsEmpty());
}

TEST_F(PlanFetchTest, takes_those_of_its_components_alone) {
  const plan::Plan a = add("a");
  add("b", "mail");
  mirror();
  const auto fetched = fetch({"chat"});
  ASSERT_TRUE(fetched);
  EXPECT_EQ(fetched->plans, 1U);
  EXPECT_THAT(here(), ElementsAre(a));
}

TEST_F(PlanFetchTest, a_plan_is_cancelled_though_its_new_document_is_withheld) {
  add("a");
  mirror();
  ASSERT_TRUE(fetch());
  const plan::Plan cancelled = cancel("a");
  mirror();
  fs::remove(object_of(cancelled));
  const auto fetched = fetch();
  ASSERT_TRUE(fetched);
  EXPECT_THAT(fetched->problems, IsEmpty());
  EXPECT_THAT(here(), ElementsAre(cancelled));
}

TEST_F(PlanFetchTest, a_plan_that_is_not_shown_any_more_stays) {
  const plan::Plan a = add("a");
  mirror();
  ASSERT_TRUE(fetch());
  add("b");
  // Each fetch gets a step further.
  const std::vector<std::string> parts = {"metadata", "metadata/timestamp.json",
                                          "metadata/2.snapshot.json", "metadata/2.plans.json",
                                          "objects"};
  for (const auto& part : parts) {
    mirror();
    fs::remove_all(mirror_ / part);
    const auto fetched = fetch();
    EXPECT_TRUE(!fetched || !fetched->problems.empty()) << part;
    EXPECT_THAT(here(), ElementsAre(a)) << part;
  }
}

TEST_F(PlanFetchTest, an_earlier_state_is_refused) {
  add("a");
  mirror();
  const fs::path old = library_.directory.path("old");
  fs::copy(mirror_, old, fs::copy_options::recursive);
  ASSERT_TRUE(fetch());
  const plan::Plan cancelled = cancel("a");
  mirror();
  ASSERT_TRUE(fetch());
  fs::remove_all(mirror_);
  fs::copy(old, mirror_, fs::copy_options::recursive);
  EXPECT_FALSE(fetch());
  EXPECT_THAT(here(), ElementsAre(cancelled));
}

TEST_F(PlanFetchTest, an_altered_plan_is_refused_and_the_others_come) {
  const plan::Plan a = add("a");
  plan::Plan b = add("b");
  mirror();
  const fs::path object = object_of(b);
  b.sites[0].at += hours(1);
  write(object, plan::write_plan(b));
  const auto fetched = fetch();
  ASSERT_TRUE(fetched);
  ASSERT_THAT(fetched->problems, SizeIs(1));
  EXPECT_EQ(fetched->problems[0].code(), ErrorCode::data_loss);
  EXPECT_THAT(here(), ElementsAre(a));
  EXPECT_EQ(fetched_at(directory_), std::nullopt);
  write(object, std::string(1'000'000, ' '));
  const auto endless = fetch();
  ASSERT_TRUE(endless);
  EXPECT_THAT(endless->problems, SizeIs(1));
}

TEST_F(PlanFetchTest, altered_metadata_is_refused) {
  add("a");
  mirror();
  const fs::path role = mirror_ / "metadata/1.plans.json";
  std::string text = *os::read_file(role, 1U << 20U);
  text.replace(text.find("a.json"), 1, "b");
  write(role, text);
  EXPECT_FALSE(fetch());
  EXPECT_THAT(here(), IsEmpty());
}

TEST_F(PlanFetchTest, what_was_damaged_here_is_fetched_again) {
  const plan::Plan a = add("a");
  mirror();
  ASSERT_TRUE(fetch());
  write(directory_ + "/a.json", "{");
  ASSERT_TRUE(fetch());
  EXPECT_THAT(here(), ElementsAre(a));
}

TEST_F(PlanFetchTest, expired_metadata_is_refused_and_what_is_here_stays) {
  const plan::Plan a = add("a");
  mirror();
  ASSERT_TRUE(fetch());
  library_.clock.advance(std::chrono::days(8));
  const auto expired = fetch();
  ASSERT_FALSE(expired);
  EXPECT_THAT(here(), ElementsAre(a));
}

TEST_F(PlanFetchTest, a_plan_that_left_the_library_leaves_the_directory) {
  add("a");
  mirror();
  ASSERT_TRUE(fetch());
  library_.clock.advance(std::chrono::days(100));
  const plan::Plan b = add("b");
  mirror();
  const auto fetched = fetch();
  ASSERT_TRUE(fetched) << fetched.error().to_string();
  EXPECT_EQ(fetched->removed, 1U);
  EXPECT_THAT(here(), ElementsAre(b));
}

TEST_F(PlanFetchTest, needs_a_root_to_trust) {
  add("a");
  mirror();
  const auto fetched =
      fetch_plans({.directory = directory_, .url = "file://" + mirror_.string()}, library_.clock);
  ASSERT_FALSE(fetched);
  EXPECT_EQ(fetched.error().code(), ErrorCode::failed_precondition);
}

}  // namespace
}  // namespace segue::plans
