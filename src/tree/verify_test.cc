// SPDX-License-Identifier: Apache-2.0
#include "tree/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tree/scan.h"
#include "tree/test_tree.h"

namespace segue::tree {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;
using Kind = Difference::Kind;

class Verify : public ::testing::Test {
 protected:
  void SetUp() override {
    tree_.file("bin/app", "program", 0755);
    tree_.file("data", "bytes");
    tree_.link("name of data", "data");
    tree_.directory("empty");
    tree_.symlink("link", "data");
    manifest_ = scan_tree(tree_.path()).value();
  }

  std::vector<std::pair<std::string, Kind>> differences(const VerifyOptions& options = {}) {
    const auto verified = verify_tree(tree_.path(), manifest_, options);
    if (!verified) throw std::runtime_error(verified.error().to_string());
    std::vector<std::pair<std::string, Kind>> list;
    for (const Difference& difference : verified->differences) {
      list.emplace_back(difference.path, difference.kind);
    }
    bytes_read_ = verified->bytes_read;
    stamps_ = verified->stamps;
    return list;
  }

  const TestTree tree_;
  delta::Manifest manifest_;
  std::uint64_t bytes_read_ = 0;
  std::vector<FileStamp> stamps_;
};

TEST_F(Verify, finds_nothing_in_a_tree_that_is_right) {
  EXPECT_THAT(differences(), IsEmpty());
  EXPECT_EQ(bytes_read_, 12U);
}

TEST_F(Verify, lists_every_difference_in_order) {
  ASSERT_EQ(::unlink(tree_.path("link").c_str()), 0);
  tree_.file("link", "no link any more");
  ASSERT_EQ(::rmdir(tree_.path("empty").c_str()), 0);
  tree_.file("bin/app", "pr0gram", 0700);
  tree_.file("bin/extra", "x");
  ASSERT_EQ(::mkfifo(tree_.path("pipe").c_str(), 0600), 0);
  EXPECT_THAT(differences(),
              ElementsAre(Pair("bin/app", Kind::mode), Pair("bin/app", Kind::content),
                          Pair("bin/extra", Kind::unexpected), Pair("empty", Kind::missing),
                          Pair("link", Kind::type), Pair("pipe", Kind::unexpected)));
}

TEST_F(Verify, finds_a_symlink_that_leads_elsewhere) {
  ASSERT_EQ(::unlink(tree_.path("link").c_str()), 0);
  tree_.symlink("link", "/etc/passwd");
  EXPECT_THAT(differences(), ElementsAre(Pair("link", Kind::link_target)));
}

TEST_F(Verify, finds_names_that_became_files) {
  ASSERT_EQ(::unlink(tree_.path("name of data").c_str()), 0);
  tree_.file("name of data", "bytes");
  EXPECT_THAT(differences(), ElementsAre(Pair("name of data", Kind::links)));
}

TEST_F(Verify, finds_files_that_became_names) {
  tree_.file("other", "bytes");
  manifest_ = scan_tree(tree_.path()).value();
  ASSERT_EQ(::unlink(tree_.path("other").c_str()), 0);
  tree_.link("other", "data");
  EXPECT_THAT(differences(), ElementsAre(Pair("other", Kind::links)));
}

TEST_F(Verify, finds_attributes) {
  ASSERT_EQ(::setxattr(tree_.path("empty").c_str(), "user.x", "1", 1, 0), 0);
  EXPECT_THAT(differences(), ElementsAre(Pair("empty", Kind::attributes)));
}

TEST_F(Verify, counts_what_it_does_not_list) {
  for (int i = 0; i < 20; ++i) tree_.file(fmt::format("more{}", i), "x");
  const auto verified = verify_tree(tree_.path(), manifest_, {.max_differences = 5});
  ASSERT_TRUE(verified);
  EXPECT_THAT(verified->differences, SizeIs(5));
  EXPECT_EQ(verified->difference_count, 20U);
  EXPECT_FALSE(verified->matches());
  EXPECT_TRUE(verified->has_all());
}

TEST_F(Verify, does_not_read_what_is_known_to_be_unchanged) {
  EXPECT_THAT(differences(), IsEmpty());
  const std::vector<FileStamp> known = stamps_;
  EXPECT_THAT(differences({.known = &known}), IsEmpty());
  EXPECT_EQ(bytes_read_, 0U);
}

TEST_F(Verify, finds_a_change_that_hides_behind_the_old_time) {
  EXPECT_THAT(differences(), IsEmpty());
  const std::vector<FileStamp> known = stamps_;
  struct stat before{};
  ASSERT_EQ(::stat(tree_.path("data").c_str(), &before), 0);
  tree_.write_at("data", 0, "B");
  const timespec times[] = {before.st_atim, before.st_mtim};
  ASSERT_EQ(::utimensat(AT_FDCWD, tree_.path("data").c_str(), times, 0), 0);
  EXPECT_THAT(differences({.known = &known}),
              ElementsAre(Pair("data", Kind::content), Pair("name of data", Kind::content)));
  EXPECT_EQ(bytes_read_, 5U);
}

TEST_F(Verify, says_what_differs) {
  tree_.file("data", "byte");
  const auto verified = verify_tree(tree_.path(), manifest_);
  ASSERT_TRUE(verified);
  EXPECT_EQ(verified->differences.at(0).to_string(), "data: content: 4 bytes instead of 5");
}

TEST_F(Verify, directory_that_is_not_there_is_an_error) {
  const auto verified = verify_tree(tree_.path("nothing"), manifest_);
  ASSERT_FALSE(verified);
  EXPECT_EQ(verified.error().code(), base::ErrorCode::not_found);
}

}  // namespace
}  // namespace segue::tree
