// SPDX-License-Identifier: Apache-2.0
// Versions that differ by their names alone.
#include "staging/test_stage.h"

namespace segue::staging {
namespace {

using ::testing::SizeIs;
using tree::TestTree;

// A version that takes a change back has the files of one before, and another name.
class SameFiles : public Stage {
 protected:
  SameFiles() { published_["1.3"] = library_.publish("1.3", releases_.at("1.0")->path()); }
};

TEST_F(SameFiles, version_with_the_files_of_the_live_one_goes_live_and_back) {
  make_live("1.0");
  TestTree::write(live("spool/app.log"), "of 1.0");
  const StageReport report = staged("1.3");
  EXPECT_EQ(report.way, Way::copy);
  EXPECT_EQ(report.from, "chat 1.0");
  EXPECT_EQ(report.tree.version, "1.3");
  EXPECT_EQ(report.fetched_bytes, 0U);
  EXPECT_EQ(staged("1.3").way, Way::present);
  EXPECT_EQ(staged("1.0").tree.version, "1.0");

  const auto went = go("1.3");
  ASSERT_TRUE(went) << went.error().to_string();
  EXPECT_FALSE(went->was_live);
  EXPECT_EQ(went->from->version, "1.0");
  expect_live("1.3");
  EXPECT_FALSE(std::filesystem::exists(live("spool/app.log")));

  Place place = open();
  EXPECT_EQ(place.live()->record.version, "1.3");
  const auto undone = undo(place);
  ASSERT_TRUE(undone) << undone.error().to_string();
  EXPECT_EQ(undone->to.version, "1.0");
  EXPECT_EQ(place.live()->record.version, "1.0");
  EXPECT_TRUE(std::filesystem::exists(live("spool/app.log")));
}

TEST_F(SameFiles, version_with_the_files_of_the_previous_one_goes_live_and_back) {
  make_live("1.0");
  make_live("1.1");
  EXPECT_EQ(staged("1.3").way, Way::copy);
  ASSERT_TRUE(go("1.3"));
  expect_live("1.3");
  expect_all_as_signed();
  Place place = open();
  const auto undone = undo(place);
  ASSERT_TRUE(undone) << undone.error().to_string();
  EXPECT_EQ(undone->to.version, "1.1");
  expect_live("1.1");
}

TEST_F(SameFiles, dry_run_says_that_nothing_would_be_fetched_and_makes_nothing) {
  make_live("1.0");
  StageRequest asked = request("1.3");
  asked.dry_run = true;
  Place place = open();
  const auto report = stage(place, asked, library_.clock);
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_EQ(report->way, Way::copy);
  EXPECT_EQ(report->from, "chat 1.0");
  EXPECT_EQ(report->tree.version, "1.3");
  EXPECT_THAT(place.trees(), SizeIs(1));
}

TEST_F(SameFiles, files_that_are_written_to_in_place_are_not_shared) {
  make_live("1.0");
  StageRequest asked = request("1.3");
  asked.writable = {"data"};
  Place place = open();
  ASSERT_TRUE(stage(place, asked, library_.clock));
  struct stat status{};
  ASSERT_EQ(::stat(live("data/db").c_str(), &status), 0);
  EXPECT_EQ(status.st_nlink, 1U);
}

TEST_F(SameFiles, damaged_tree_of_the_other_name_is_not_copied) {
  make_live("1.0");
  flip(live("lib/stays.so"), 1000);
  const StageReport report = staged("1.3");
  EXPECT_NE(report.way, Way::copy);
  ASSERT_TRUE(go("1.3"));
  expect_live("1.3");
}

TEST_F(SameFiles, tree_that_was_put_there_by_hand_takes_either_name) {
  const TestTree copied(live());
  fill(copied, "1.0");
  staged("1.3");
  ASSERT_TRUE(go("1.3"));
  expect_live("1.3");
  EXPECT_EQ(open().live()->record.version, "1.3");
}

}  // namespace
}  // namespace segue::staging
