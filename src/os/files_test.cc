// SPDX-License-Identifier: Apache-2.0
#include "os/files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <iterator>
#include <string>

#include "os/temp_directory.h"

namespace segue::os {
namespace {

namespace fs = std::filesystem;
using base::ErrorCode;

mode_t mode_of(const std::string& path) {
  struct stat status{};
  EXPECT_EQ(::lstat(path.c_str(), &status), 0);
  return status.st_mode & 0777U;
}

class FilesTest : public testing::Test {
 protected:
  TempDirectory directory_;
  std::string file_ = directory_.path("file");
};

TEST_F(FilesTest, an_atomic_write_replaces_the_file_and_leaves_nothing_beside_it) {
  ASSERT_TRUE(write_file_atomically(file_, "a long first text"));
  ASSERT_TRUE(write_file_atomically(file_, "second"));
  EXPECT_EQ(read_file(file_, 100), "second");
  EXPECT_EQ(mode_of(file_), 0600U);
  EXPECT_EQ(std::distance(fs::directory_iterator(directory_.path()), {}), 1);
}

TEST_F(FilesTest, an_atomic_write_that_fails_leaves_nothing) {
  fs::create_directory(file_);
  const auto written = write_file_atomically(file_, "x");
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code(), ErrorCode::failed_precondition);
  EXPECT_EQ(std::distance(fs::directory_iterator(directory_.path()), {}), 1);
}

TEST_F(FilesTest, appends_to_a_new_and_to_an_old_file) {
  ASSERT_TRUE(append_to_file(file_, "one ", Durability::synced));
  ASSERT_TRUE(append_to_file(file_, "two", Durability::buffered));
  EXPECT_EQ(read_file(file_, 100), "one two");
  EXPECT_EQ(mode_of(file_), 0600U);
}

TEST_F(FilesTest, reads_up_to_its_bound_and_no_further) {
  ASSERT_TRUE(write_file_atomically(file_, std::string(100'000, 'x')));
  EXPECT_EQ(read_file(file_, 100'000).value().size(), 100'000U);
  EXPECT_EQ(read_file(file_, 99'999).error().code(), ErrorCode::resource_exhausted);
}

TEST_F(FilesTest, reads_an_empty_file_and_reports_a_missing_one) {
  ASSERT_TRUE(write_file_atomically(file_, ""));
  EXPECT_EQ(read_file(file_, 0), "");
  EXPECT_EQ(read_file(directory_.path("none"), 10).error().code(), ErrorCode::not_found);
}

TEST_F(FilesTest, makes_a_private_directory_and_those_above_it) {
  const std::string deep = directory_.path("a/b/c");
  ASSERT_TRUE(ensure_private_directory(deep));
  ASSERT_TRUE(ensure_private_directory(deep));
  EXPECT_EQ(mode_of(directory_.path("a")), 0700U);
  EXPECT_EQ(mode_of(deep), 0700U);
}

TEST_F(FilesTest, refuses_a_directory_that_others_can_enter) {
  fs::create_directory(file_);
  fs::permissions(file_, fs::perms(0750));
  const auto refused = ensure_private_directory(file_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::failed_precondition);
  EXPECT_NE(refused.error().message().find("chmod 700 " + file_), std::string::npos);
}

TEST_F(FilesTest, refuses_a_link_to_a_directory) {
  fs::create_directory(directory_.path("real"));
  fs::create_directory_symlink(directory_.path("real"), file_);
  EXPECT_EQ(ensure_private_directory(file_).error().code(), ErrorCode::failed_precondition);
}

TEST_F(FilesTest, refuses_a_directory_of_another_user) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a directory away";
  fs::create_directory(file_);
  fs::permissions(file_, fs::perms(0700));
  ASSERT_EQ(::chown(file_.c_str(), 12345, 12345), 0);
  const auto refused = ensure_private_directory(file_);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message().find("belongs to user 12345"), std::string::npos);
}

TEST(Files, a_file_is_added_only_where_there_is_none) {
  const TempDirectory directory;
  ASSERT_TRUE(add_file_atomically(directory.path("f"), "first"));
  const auto again = add_file_atomically(directory.path("f"), "second");
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code(), base::ErrorCode::already_exists);
  EXPECT_EQ(read_file(directory.path("f"), 100), "first");
  EXPECT_FALSE(add_file_atomically(directory.path("none/f"), "first"));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory.path()), {}), 1);
}

}  // namespace
}  // namespace segue::os
