// SPDX-License-Identifier: Apache-2.0
#include "plans/plan_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/files.h"
#include "os/temp_directory.h"
#include "plan/plan_document.h"

namespace segue::plans {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

plan::Plan plan_named(const std::string& id, int day) {
  plan::Plan plan;
  plan.id = id;
  plan.component = "chat";
  plan.version = "2";
  plan.created = std::chrono::sys_days(std::chrono::year(2026) / 11 / 1);
  plan.sites = {
      {"berlin", "Europe/Berlin", std::chrono::sys_days(std::chrono::year(2026) / 12 / day)}};
  return plan;
}

class PlanFolderTest : public testing::Test {
 protected:
  os::TempDirectory directory_;
  PlanFolder folder_{directory_.path("plans")};
};

TEST_F(PlanFolderTest, that_is_missing_is_empty) {
  const auto contents = folder_.read();
  ASSERT_TRUE(contents);
  EXPECT_THAT(contents->plans, IsEmpty());
}

TEST_F(PlanFolderTest, gives_back_what_was_added_in_the_order_of_time) {
  ASSERT_TRUE(folder_.add(plan_named("a", 9)));
  ASSERT_TRUE(folder_.add(plan_named("b", 2)));
  const auto contents = folder_.read();
  ASSERT_TRUE(contents);
  ASSERT_THAT(contents->plans, SizeIs(2));
  EXPECT_EQ(contents->plans[0], plan_named("b", 2));
  EXPECT_EQ(folder_.read("a"), plan_named("a", 9));
}

TEST_F(PlanFolderTest, takes_no_second_plan_of_one_id) {
  ASSERT_TRUE(folder_.add(plan_named("a", 9)));
  const auto again = folder_.add(plan_named("a", 10));
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code(), base::ErrorCode::already_exists);
  EXPECT_EQ(folder_.read("a"), plan_named("a", 9));
  ASSERT_TRUE(folder_.replace(plan_named("a", 10)));
  EXPECT_EQ(folder_.read("a"), plan_named("a", 10));
}

TEST_F(PlanFolderTest, names_files_that_are_no_plans_and_shows_the_others) {
  ASSERT_TRUE(folder_.add(plan_named("a", 9)));
  ASSERT_TRUE(os::write_file_atomically(directory_.path("plans/broken.json"), "{"));
  ASSERT_TRUE(os::write_file_atomically(directory_.path("plans/other.json"),
                                        plan::write_plan(plan_named("b", 1))));
  const auto contents = folder_.read();
  ASSERT_TRUE(contents);
  EXPECT_THAT(contents->plans, SizeIs(1));
  ASSERT_THAT(contents->unreadable, SizeIs(2));
  EXPECT_EQ(contents->unreadable[0].file, "broken.json");
  EXPECT_THAT(contents->unreadable[1].error.message(), HasSubstr("would be b.json"));
}

TEST_F(PlanFolderTest, knows_a_plan_by_its_whole_id_only) {
  ASSERT_TRUE(folder_.add(plan_named("chat-2", 9)));
  const auto found = folder_.read("chat");
  ASSERT_FALSE(found);
  EXPECT_THAT(found.error().message(), HasSubstr("did you mean chat-2?"));
  EXPECT_FALSE(folder_.read("../plans/chat-2"));
}

TEST_F(PlanFolderTest, shows_the_reports_of_a_plan_and_of_no_other) {
  ASSERT_TRUE(os::ensure_private_directory(folder_.report_directory()));
  for (const std::string plan : {"a", "ab"}) {
    ASSERT_TRUE(os::write_file_atomically(
        folder_.report_directory() + "/" + report_file_name(plan, "berlin", "host1"), plan));
  }
  EXPECT_EQ(folder_.reports("a"), std::vector<std::string>{"a"});
}

}  // namespace
}  // namespace segue::plans
