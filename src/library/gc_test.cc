// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "library/pins.h"
#include "library/test_library.h"

namespace segue::library {
namespace {

namespace fs = std::filesystem;

using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr GcPolicy kKeepTwoAtOnce{.keep_releases = 2, .keep_younger = {}, .grace = seconds(0)};

std::uint64_t files_in(const std::string& folder) {
  std::uint64_t count = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    count += entry.is_regular_file() ? 1U : 0U;
  }
  return count;
}

// A time at which files that a test has just made are old.
void let_time_pass(TestLibrary& library) {
  library.clock.advance(std::chrono::days(3'650));
}

class Gc : public testing::Test {
 protected:
  void SetUp() override {
    for (unsigned i = 1; i <= 4; ++i) {
      ASSERT_TRUE(library_.publish(fmt::format("{}.0", i), test_release(i)));
    }
  }
  base::Result<GcReport> gc(const GcPolicy& policy) {
    auto publisher = library_.open();
    EXPECT_TRUE(publisher) << publisher.error().to_string();
    return publisher->gc(policy);
  }

  TestLibrary library_;
};

TEST_F(Gc, retires_by_policy_and_keeps_what_stays_whole) {
  let_time_pass(library_);
  const std::uint64_t before = files_in(library_.path() + "/objects");
  const auto report = gc(kKeepTwoAtOnce);
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_EQ(report->retired.size(), 2U);
  EXPECT_GT(report->removed_objects, 2U);
  EXPECT_EQ(files_in(library_.path() + "/objects"), report->kept_objects);
  EXPECT_EQ(before, report->kept_objects + report->removed_objects);
  EXPECT_THAT(library_.versions(), ElementsAre("3.0", "4.0"));
  EXPECT_EQ(unpacked(library_.path(), "3.0"), test_release(3));
  EXPECT_EQ(patched(library_.path(), "3.0", "4.0"), test_release(4));
  expect_sound(library_.path());
  ASSERT_TRUE(library_.publish("5.0", test_release(5)));
  expect_sound(library_.path());
}

TEST_F(Gc, keeps_what_was_replaced_for_the_grace_time) {
  GcPolicy policy = kKeepTwoAtOnce;
  policy.grace = std::chrono::days(36'500);
  const std::uint64_t objects = files_in(library_.path() + "/objects");
  const auto report = gc(policy);
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_EQ(report->retired.size(), 2U);
  EXPECT_EQ(report->removed_objects, 0U);
  EXPECT_EQ(report->removed_metadata_files, 0U);
  EXPECT_EQ(files_in(library_.path() + "/objects"), objects);
}

TEST_F(Gc, keeps_what_is_young) {
  let_time_pass(library_);
  GcPolicy policy = kKeepTwoAtOnce;
  policy.keep_younger = std::chrono::days(36'500);
  const auto report = gc(policy);
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_TRUE(report->retired.empty());
  EXPECT_THAT(library_.versions(), ElementsAre("1.0", "2.0", "3.0", "4.0"));
}

TEST_F(Gc, keeps_what_is_pinned) {
  let_time_pass(library_);
  ASSERT_TRUE(library_.open()->pin("plan-7", {"chat/1.0"}));
  auto report = gc(kKeepTwoAtOnce);
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_EQ(report->pinned, 1U);
  EXPECT_THAT(library_.versions(), ElementsAre("1.0", "3.0", "4.0"));
  expect_sound(library_.path());

  ASSERT_TRUE(library_.open()->pin("plan-7", {}));
  report = gc(kKeepTwoAtOnce);
  EXPECT_THAT(library_.versions(), ElementsAre("3.0", "4.0"));
}

TEST_F(Gc, pins_only_what_is_there) {
  EXPECT_EQ(library_.open()->pin("plan", {"chat/9.0"}).error().code(), base::ErrorCode::not_found);
  EXPECT_FALSE(library_.open()->pin("../plan", {"chat/1.0"}));
}

TEST_F(Gc, removes_nothing_when_a_pin_cannot_be_read) {
  ASSERT_TRUE(library_.open()->pin("plan", {"chat/1.0"}));
  std::ofstream(library_.path() + "/pins/plan") << "chat/1";
  const auto report = gc(kKeepTwoAtOnce);
  ASSERT_FALSE(report);
  EXPECT_THAT(report.error().to_string(), HasSubstr("pins/plan"));
  EXPECT_THAT(library_.versions(), ElementsAre("1.0", "2.0", "3.0", "4.0"));
}

TEST_F(Gc, removes_nothing_when_it_cannot_tell_what_is_needed) {
  const auto release = Library::open(library_.path())->find("chat", "2.0");
  const std::string damaged = library_.path() + "/" + object_path(release->contents.sha256);
  std::ofstream(damaged, std::ios::in | std::ios::out) << "damaged";
  const std::uint64_t objects = files_in(library_.path() + "/objects");
  GcPolicy policy;
  policy.grace = seconds(0);
  const auto report = gc(policy);
  ASSERT_FALSE(report);
  EXPECT_THAT(report.error().to_string(), HasSubstr(release->contents.sha256.hex()));
  EXPECT_EQ(files_in(library_.path() + "/objects"), objects);
}

TEST_F(Gc, without_a_policy_needs_no_key_and_removes_only_what_nothing_names) {
  const delta::Digest left = delta::digest_of(delta::view_of("left"));
  fs::create_directories(fs::path(library_.path() + "/" + object_path(left)).parent_path());
  std::ofstream(library_.path() + "/" + object_path(left)) << "left";
  library_.signers.clear();
  const auto report = gc({});
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_EQ(report->removed_objects, 1U);
  EXPECT_FALSE(fs::exists(library_.path() + "/" + object_path(left)));
  expect_sound(library_.path());
}

TEST_F(Gc, with_a_policy_says_which_key_is_missing_and_changes_nothing) {
  library_.signers.erase("targets");
  const auto report = gc(kKeepTwoAtOnce);
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code(), base::ErrorCode::failed_precondition);
  EXPECT_THAT(library_.versions(), ElementsAre("1.0", "2.0", "3.0", "4.0"));
}

TEST_F(Gc, rehearses_without_a_change) {
  let_time_pass(library_);
  const std::uint64_t files = files_in(library_.path());
  GcPolicy policy = kKeepTwoAtOnce;
  policy.dry_run = true;
  const auto report = gc(policy);
  ASSERT_TRUE(report) << report.error().to_string();
  EXPECT_EQ(report->retired.size(), 2U);
  EXPECT_EQ(files_in(library_.path()), files);
  EXPECT_THAT(library_.versions(), ElementsAre("1.0", "2.0", "3.0", "4.0"));
}

}  // namespace
}  // namespace segue::library
