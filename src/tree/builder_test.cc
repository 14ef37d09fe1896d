// SPDX-License-Identifier: Apache-2.0
#include "tree/builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tree/scan.h"
#include "tree/test_tree.h"
#include "tree/verify.h"

namespace segue::tree {
namespace {

using delta::Manifest;
using ::testing::HasSubstr;

Manifest scanned(const TestTree& tree) {
  auto manifest = scan_tree(tree.path());
  if (!manifest) throw std::runtime_error(manifest.error().to_string());
  return *std::move(manifest);
}

struct stat status_of(const std::string& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) throw std::runtime_error("no " + path);
  return status;
}

class Builder : public ::testing::Test {
 protected:
  // From `base` to what `target` is, through a delta, into `built`.
  base::Result<BuildReport> build(const TestTree& base, const TestTree& target,
                                  BuildOptions options) {
    base_ = scanned(base);
    target_ = scanned(target);
    SEGUE_ASSIGN(DiskTree base_files, DiskTree::open(base.path(), base_));
    SEGUE_ASSIGN(DiskTree target_files, DiskTree::open(target.path(), target_));
    SEGUE_ASSIGN(const delta::Bytes delta,
                 delta::make_delta(base_, base_files, target_, target_files));
    options.base = &base_files;
    SEGUE_ASSIGN(const auto builder, TreeBuilder::create(built(), options));
    SEGUE_ASSIGN(const Manifest made,
                 delta::apply_delta(delta, base_, base_files, delta::root_of(target_),
                                    {.max_target_bytes = 1 << 30}, *builder));
    SEGUE_TRY(builder->finish(made));
    return builder->report();
  }

  void expect_built() {
    const auto verified = verify_tree(built(), target_);
    ASSERT_TRUE(verified) << verified.error().to_string();
    for (const Difference& difference : verified->differences) {
      ADD_FAILURE() << difference.to_string();
    }
    const auto again = scan_tree(built());
    ASSERT_TRUE(again) << again.error().to_string();
    EXPECT_EQ(delta::root_of(*again), delta::root_of(target_));
  }

  [[nodiscard]] std::string built(const std::string& name = "") const {
    return temporary_.path("built") + (name.empty() ? "" : "/" + name);
  }

  os::TempDirectory temporary_;
  Manifest base_;
  Manifest target_;
};

delta::Entry directory(std::string path) {
  return {.path = std::move(path), .type = delta::EntryType::directory, .mode = 0755};
}
delta::Entry symlink(std::string path, std::string target) {
  return {.path = std::move(path),
          .type = delta::EntryType::symlink,
          .mode = 0777,
          .link_target = std::move(target)};
}

void fill(const TestTree& tree, std::string_view version) {
  tree.file("bin/app", std::string(100'000, 'p') + std::string(version), 0755);
  tree.file("bin/setuid", "rights", 04711);
  tree.file("same", "does not change");
  tree.file("copy of same", "does not change");
  tree.link("name of same", "same");
  tree.file("\xc3\x28 not utf-8", std::string(version));
  tree.file("locked/secret", "hidden", 0);
  tree.directory("locked", 0500);
  tree.directory("empty/inside");
  tree.symlink("away", "../../etc/passwd");
  tree.symlink("dangling", std::string(version));
  tree.file("sparse", version);
  tree.write_at("sparse", 1 << 20, version);
  SEGUE_ASSERT(::truncate(tree.path("sparse").c_str(), 3 << 20) == 0);
  SEGUE_ASSERT(::setxattr(tree.path("same").c_str(), "user.note", "kept", 4, 0) == 0);
  SEGUE_ASSERT(
      ::setxattr(tree.path("empty").c_str(), "user.v", version.data(), version.size(), 0) == 0);
}

class BuilderSharing : public Builder, public ::testing::WithParamInterface<Sharing> {};

TEST_P(BuilderSharing, makes_a_tree_of_everything_a_tree_can_hold) {
  const TestTree base;
  const TestTree target;
  fill(base, "1.0");
  fill(target, "1.1");
  target.file("added", "new file");
  const auto report = build(base, target, {.sharing = GetParam()});
  ASSERT_TRUE(report) << report.error().to_string();
  expect_built();
}

INSTANTIATE_TEST_SUITE_P(All, BuilderSharing,
                         ::testing::Values(Sharing::copy, Sharing::clone, Sharing::hard_link));

TEST_F(Builder, completes_a_tree_whose_new_bytes_another_process_wrote) {
  const TestTree base;
  const TestTree target;
  fill(base, "1.0");
  fill(target, "1.1");
  target.file("moved/away", "does not change");
  base_ = scanned(base);
  target_ = scanned(target);
  auto base_files = DiskTree::open(base.path(), base_).value();
  auto target_files = DiskTree::open(target.path(), target_).value();
  const auto delta = delta::make_delta(base_, base_files, target_, target_files).value();
  const auto builder = TreeBuilder::create(built(), {.only_new_bytes = true}).value();
  ASSERT_TRUE(delta::apply_delta(delta, base_, base_files, delta::root_of(target_),
                                 {.max_target_bytes = 1 << 30}, *builder));
  const BuildOptions options{.base = &base_files, .sharing = Sharing::hard_link};
  const auto report = complete_tree(built(), target_, options);
  ASSERT_TRUE(report) << report.error().to_string();
  expect_built();
  EXPECT_EQ(report->files_written, 3U);
}

TEST_F(Builder, does_not_complete_a_tree_with_something_else_in_a_files_place) {
  const auto builder = TreeBuilder::create(built(), {.only_new_bytes = true}).value();
  const Manifest manifest{.entries = {directory(""), {.path = "f", .mode = 0644}}};
  ASSERT_TRUE(builder->begin(manifest));
  ASSERT_EQ(::symlink("/etc/passwd", built("f").c_str()), 0);
  EXPECT_FALSE(complete_tree(built(), manifest, {}));
}

TEST_F(Builder, shares_what_stays_and_nothing_else) {
  const TestTree base;
  const TestTree target;
  for (const TestTree* tree : {&base, &target}) {
    tree->file("stays", "as it is");
    tree->file("database", "written to in place");
  }
  base.file("mode", "changes its mode", 0644);
  target.file("mode", "changes its mode", 0755);
  const auto report = build(
      base, target, {.sharing = Sharing::hard_link, .is_written_to = [](std::string_view path) {
                       return path == "database";
                     }});
  ASSERT_TRUE(report) << report.error().to_string();
  expect_built();
  if (report->files_cloned > 0) GTEST_SKIP() << "this filesystem has reflinks";
  EXPECT_EQ(report->files_linked, 1U);
  EXPECT_EQ(status_of(built("stays")).st_ino, status_of(base.path("stays")).st_ino);
  EXPECT_NE(status_of(built("database")).st_ino, status_of(base.path("database")).st_ino);
  EXPECT_EQ(status_of(base.path("mode")).st_mode & 07777, 0644U);
}

TEST_F(Builder, keeps_two_files_apart_that_come_from_one) {
  const TestTree base;
  const TestTree target;
  base.file("one", "the same bytes");
  target.file("one", "the same bytes");
  target.file("two", "the same bytes");
  ASSERT_TRUE(build(base, target, {.sharing = Sharing::hard_link}));
  expect_built();
  EXPECT_NE(status_of(built("one")).st_ino, status_of(built("two")).st_ino);
}

TEST_F(Builder, stores_no_more_of_a_sparse_file_than_was_stored) {
  const TestTree base;
  const TestTree target;
  target.file("sparse", "begin");
  ASSERT_EQ(::truncate(target.path("sparse").c_str(), 64 << 20), 0);
  ASSERT_TRUE(build(base, target, {}));
  expect_built();
  EXPECT_LE(status_of(built("sparse")).st_blocks, 128);
}

TEST_F(Builder, gives_what_it_makes_the_time_it_is_told) {
  const TestTree base;
  const TestTree target;
  target.file("d/f", "x");
  target.symlink("d/s", "f");
  ASSERT_TRUE(build(base, target, {.modified_s = 1'000'000'000}));
  for (const char* name : {"", "d", "d/f", "d/s"}) {
    EXPECT_EQ(status_of(built(name)).st_mtime, 1'000'000'000) << name;
  }
}

TEST_F(Builder, gives_attributes_to_what_nobody_may_write_to) {
  ASSERT_EQ(::chmod(temporary_.path("").c_str(), 0777), 0);
  target_ = {.entries = {{.path = "",
                          .type = delta::EntryType::directory,
                          .mode = 0555,
                          .attributes = {{"user.note", "directory"}}},
                         {.path = "f", .mode = 0444, .attributes = {{"user.note", "file"}}}}};
  target_.entries[1].content = delta::digest_of({});
  EXPECT_TRUE(as_nobody([&] {
    const auto builder = TreeBuilder::create(built(), {});
    const auto made = [&]() -> base::Result<void> {
      SEGUE_TRY((*builder)->begin(target_));
      SEGUE_TRY((*builder)->begin_file(1));
      SEGUE_TRY((*builder)->end_file(1, target_.entries[1].content));
      return (*builder)->finish(target_);
    }();
    if (!made) ADD_FAILURE() << made.error().to_string();
    return made.has_value();
  }));
  expect_built();
}

TEST_F(Builder, refuses_a_directory_that_exists) {
  ASSERT_EQ(::mkdir(built().c_str(), 0700), 0);
  const auto builder = TreeBuilder::create(built(), {});
  ASSERT_FALSE(builder);
  EXPECT_EQ(builder.error().code(), base::ErrorCode::already_exists);
}

TEST_F(Builder, refuses_paths_that_lead_out_of_the_tree) {
  const std::string outside = temporary_.path("outside");
  ASSERT_EQ(::mkdir(outside.c_str(), 0700), 0);
  const std::vector<std::vector<delta::Entry>> hostile{
      {directory(""), {.path = "../outside/f", .mode = 0644}},
      {directory(""), {.path = "/etc/f", .mode = 0644}},
      {directory(""), directory("a"), {.path = "a/../../outside/f", .mode = 0644}},
      {directory(""), symlink("a", outside), {.path = "a/f", .mode = 0644}},
      {directory(""), symlink("a", outside), directory("a")},
      {directory(""), {.path = "a//f", .mode = 0644}},
  };
  for (const auto& entries : hostile) {
    const auto builder = TreeBuilder::create(built(), {});
    ASSERT_TRUE(builder);
    const Manifest manifest{.entries = entries};
    const auto begun = (*builder)->begin(manifest);
    ASSERT_FALSE(begun) << entries.back().path;
    EXPECT_EQ(begun.error().code(), base::ErrorCode::invalid_argument);
    ASSERT_TRUE(remove_tree(built()));
  }
  EXPECT_TRUE(std::filesystem::is_empty(outside));
}

// Somebody else writes into the directory while the tree is made.
TEST_F(Builder, does_not_follow_a_symlink_that_somebody_puts_in_its_way) {
  const std::string outside = temporary_.path("outside");
  ASSERT_EQ(::mkdir(outside.c_str(), 0700), 0);
  const auto builder = TreeBuilder::create(built(), {});
  ASSERT_TRUE(builder);
  const Manifest manifest{
      .entries = {directory(""), directory("a"), {.path = "a/f", .mode = 0644}}};
  ASSERT_TRUE((*builder)->begin(manifest));
  ASSERT_EQ(::rmdir(built("a").c_str()), 0);
  ASSERT_EQ(::symlink(outside.c_str(), built("a").c_str()), 0);
  EXPECT_FALSE((*builder)->begin_file(2));
  EXPECT_TRUE(std::filesystem::is_empty(outside));
}

TEST_F(Builder, takes_no_more_and_no_fewer_bytes_than_announced) {
  const auto builder = TreeBuilder::create(built(), {});
  ASSERT_TRUE(builder);
  const Manifest manifest{.entries = {directory(""), {.path = "f", .mode = 0644, .size_bytes = 4}}};
  ASSERT_TRUE((*builder)->begin(manifest));
  ASSERT_TRUE((*builder)->begin_file(1));
  ASSERT_TRUE((*builder)->write(delta::view_of("123")));
  EXPECT_FALSE((*builder)->write(delta::view_of("45")));
  const auto ended = (*builder)->end_file(1, {});
  ASSERT_FALSE(ended);
  EXPECT_THAT(ended.error().message(), HasSubstr("3 bytes instead of 4"));
}

TEST_F(Builder, finishes_only_what_is_complete) {
  const auto builder = TreeBuilder::create(built(), {});
  ASSERT_TRUE(builder);
  const Manifest manifest{.entries = {directory(""), {.path = "f", .mode = 0644}}};
  ASSERT_TRUE((*builder)->begin(manifest));
  EXPECT_FALSE((*builder)->finish(manifest));
}

TEST_F(Builder, base_that_was_cut_off_is_an_error) {
  const TestTree base;
  base.file("f", "0123456789");
  base_ = scanned(base);
  auto files = DiskTree::open(base.path(), base_);
  ASSERT_TRUE(files);
  base.file("f", "012");
  const auto opened = files->open(1);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code(), base::ErrorCode::data_loss);
}

}  // namespace
}  // namespace segue::tree
