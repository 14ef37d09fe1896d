// SPDX-License-Identifier: Apache-2.0
#include "tree/scan.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "tree/beneath.h"
#include "tree/test_tree.h"

namespace segue::tree {
namespace {

using delta::Entry;
using delta::EntryType;
using ::testing::HasSubstr;
using ::testing::SizeIs;

const Entry& entry_at(const delta::Manifest& manifest, std::string_view path) {
  const auto found = delta::find_entry(manifest, path);
  if (!found) throw std::runtime_error("no entry " + std::string(path));
  return manifest.entries[*found];
}

TEST(Scan, describes_files_directories_and_symlinks) {
  const TestTree tree;
  tree.file("bin/app", "program", 04755);
  tree.directory("empty", 01777);
  tree.symlink("current", "/etc/../outside");
  const auto manifest = scan_tree(tree.path());
  ASSERT_TRUE(manifest) << manifest.error().to_string();
  ASSERT_THAT(manifest->entries, SizeIs(5));
  const Entry& app = entry_at(*manifest, "bin/app");
  EXPECT_EQ(app.type, EntryType::regular);
  EXPECT_EQ(app.mode, 04755);
  EXPECT_EQ(app.size_bytes, 7U);
  EXPECT_EQ(app.content, delta::digest_of(delta::view_of("program")));
  EXPECT_EQ(entry_at(*manifest, "empty").mode, 01777);
  EXPECT_EQ(entry_at(*manifest, "current").link_target, "/etc/../outside");
}

TEST(Scan, finds_the_names_of_one_file) {
  const TestTree tree;
  tree.file("z", "same");
  tree.link("a/first", "z");
  tree.file("other", "same");
  const auto manifest = scan_tree(tree.path());
  ASSERT_TRUE(manifest) << manifest.error().to_string();
  EXPECT_EQ(entry_at(*manifest, "a/first").type, EntryType::regular);
  ASSERT_EQ(entry_at(*manifest, "z").type, EntryType::hard_link);
  EXPECT_EQ(manifest->entries[entry_at(*manifest, "z").linked_entry].path, "a/first");
  EXPECT_EQ(entry_at(*manifest, "other").type, EntryType::regular);
}

TEST(Scan, takes_a_link_from_outside_for_a_file) {
  const TestTree tree;
  tree.file("inside", "bytes");
  const os::TempDirectory elsewhere;
  ASSERT_EQ(::link(tree.path("inside").c_str(), elsewhere.path("outside").c_str()), 0);
  const auto manifest = scan_tree(tree.path());
  ASSERT_TRUE(manifest);
  EXPECT_EQ(entry_at(*manifest, "inside").type, EntryType::regular);
}

TEST(Scan, keeps_names_that_are_not_text) {
  const TestTree tree;
  const std::string name = "\xff\xfe\n\t'";
  tree.file(name, "x");
  const auto manifest = scan_tree(tree.path());
  ASSERT_TRUE(manifest) << manifest.error().to_string();
  EXPECT_EQ(manifest->entries.at(1).path, name);
}

TEST(Scan, finds_holes) {
  const TestTree tree;
  constexpr std::uint64_t kMegabyte = 1 << 20;
  tree.file("sparse", "begin");
  tree.write_at("sparse", kMegabyte, "middle");
  ASSERT_EQ(::truncate(tree.path("sparse").c_str(), 4 * kMegabyte), 0);
  const auto manifest = scan_tree(tree.path());
  ASSERT_TRUE(manifest) << manifest.error().to_string();
  const Entry& sparse = entry_at(*manifest, "sparse");
  EXPECT_EQ(sparse.size_bytes, 4 * kMegabyte);
  ASSERT_THAT(sparse.holes, SizeIs(2));
  EXPECT_LE(sparse.holes[0].offset_bytes + sparse.holes[0].size_bytes, kMegabyte);
  EXPECT_EQ(sparse.holes[1].offset_bytes + sparse.holes[1].size_bytes, 4 * kMegabyte);
}

TEST(Scan, keeps_the_attributes_of_a_tree_and_leaves_those_of_the_host) {
  const TestTree tree;
  tree.file("f", "x");
  tree.directory("d");
  ASSERT_EQ(::setxattr(tree.path("f").c_str(), "user.b", "two", 3, 0), 0);
  ASSERT_EQ(::setxattr(tree.path("f").c_str(), "user.a", "", 0, 0), 0);
  ASSERT_EQ(::setxattr(tree.path("d").c_str(), "user.d", "dir", 3, 0), 0);
  if (::geteuid() == 0) {
    ASSERT_EQ(::setxattr(tree.path("f").c_str(), "trusted.host", "x", 1, 0), 0);
  }
  const auto manifest = scan_tree(tree.path());
  ASSERT_TRUE(manifest) << manifest.error().to_string();
  const std::vector<delta::ExtendedAttribute> expected{{"user.a", ""}, {"user.b", "two"}};
  EXPECT_EQ(entry_at(*manifest, "f").attributes, expected);
  EXPECT_THAT(entry_at(*manifest, "d").attributes, SizeIs(1));
}

TEST(Scan, refuses_a_fifo_by_its_path) {
  const TestTree tree;
  tree.directory("run");
  ASSERT_EQ(::mkfifo(tree.path("run/pipe").c_str(), 0600), 0);
  const auto manifest = scan_tree(tree.path());
  ASSERT_FALSE(manifest);
  EXPECT_EQ(manifest.error().code(), base::ErrorCode::invalid_argument);
  EXPECT_THAT(manifest.error().message(), HasSubstr("run/pipe is a fifo"));
}

TEST(Scan, refuses_a_socket_by_its_path) {
  const TestTree tree;
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = tree.path("s");
  path.copy(static_cast<char*>(address.sun_path), sizeof(address.sun_path) - 1);
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  const auto manifest = scan_tree(tree.path());
  ::close(fd);
  ASSERT_FALSE(manifest);
  EXPECT_THAT(manifest.error().message(), HasSubstr("is a socket"));
}

TEST(Scan, names_a_file_that_changes_while_it_is_read) {
  const TestTree tree;
  tree.file("log", std::string(std::size_t{64} << 20, 'x'));
  // Progress is told while the file is open.
  const auto manifest = scan_tree(tree.path(), {.threads = 1}, [&](const ScanProgress& progress) {
    if (progress.bytes_done > 0 && progress.bytes_done < progress.bytes) {
      tree.write_at("log", 0, "y");
    }
  });
  ASSERT_FALSE(manifest);
  EXPECT_EQ(manifest.error().code(), base::ErrorCode::aborted);
  EXPECT_THAT(manifest.error().message(), HasSubstr("/log changed"));
}

TEST(Scan, names_a_directory_that_gets_a_file_meanwhile) {
  const TestTree tree;
  tree.file("data/one", "x");
  const auto manifest =
      scan_tree(tree.path(), {}, [&](const ScanProgress&) { tree.file("data/two", "y"); });
  ASSERT_FALSE(manifest);
  EXPECT_THAT(manifest.error().message(), HasSubstr("/data changed"));
}

TEST(Scan, says_which_file_it_may_not_read) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read all";
  const TestTree tree;
  tree.file("secret", "x", 0);
  const auto manifest = scan_tree(tree.path());
  ASSERT_FALSE(manifest);
  EXPECT_EQ(manifest.error().code(), base::ErrorCode::permission_denied);
}

TEST(Scan, gives_the_same_root_with_any_number_of_threads) {
  const TestTree tree;
  for (int i = 0; i < 200; ++i) {
    tree.file(fmt::format("d{}/f{}", i % 7, i),
              std::string(static_cast<std::size_t>(i * 997), 'a'));
  }
  const auto one = scan_tree(tree.path(), {.threads = 1});
  const auto many = scan_tree(tree.path(), {.threads = 8});
  ASSERT_TRUE(one && many);
  EXPECT_EQ(delta::root_of(*one), delta::root_of(*many));
}

TEST(Scan, reports_all_bytes_at_the_end) {
  const TestTree tree;
  tree.file("a", "12345");
  tree.file("b", "678");
  ScanProgress last;
  ASSERT_TRUE(scan_tree(tree.path(), {}, [&](const ScanProgress& progress) { last = progress; }));
  EXPECT_EQ(last.files_done, 2U);
  EXPECT_EQ(last.bytes_done, 8U);
  EXPECT_EQ(last.bytes, 8U);
}

TEST(RemoveTree, removes_what_may_not_be_written_to_and_follows_no_link) {
  const os::TempDirectory outside;
  TestTree::write(outside.path("kept"), "x");
  const os::TempDirectory parent;
  const TestTree tree(parent.path("tree"));
  tree.file("locked/f", "x", 0);
  tree.symlink("locked/away", outside.path());
  ASSERT_EQ(::chmod(tree.path("locked").c_str(), 0500), 0);
  ASSERT_TRUE(remove_tree(tree.path()));
  EXPECT_NE(::access(tree.path().c_str(), F_OK), 0);
  EXPECT_EQ(::access(outside.path("kept").c_str(), F_OK), 0);
  EXPECT_TRUE(remove_tree(tree.path()));
}

TEST(RemoveTree, removes_what_its_owner_may_not_read) {
  const os::TempDirectory temporary;
  ASSERT_EQ(::chmod(temporary.path("").c_str(), 0777), 0);
  const std::string path = temporary.path("tree");
  EXPECT_TRUE(as_nobody([&] {
    const TestTree tree(path);
    tree.file("d/e/f", "x");
    for (const char* name : {"d/e", "d", ""}) {
      if (::chmod(tree.path(name).c_str(), 0) != 0) return false;
    }
    const auto removed = remove_tree(path);
    if (!removed) ADD_FAILURE() << removed.error().to_string();
    return removed.has_value();
  }));
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(RemoveTree, leaves_alone_what_a_symlink_in_its_place_leads_to) {
  const os::TempDirectory temporary;
  const TestTree tree;
  tree.file("precious", "data");
  for (const std::string& target : {tree.path(), tree.path("nothing")}) {
    const std::string link = temporary.path("link");
    ASSERT_EQ(::symlink(target.c_str(), link.c_str()), 0);
    const auto removed = remove_tree(link);
    ASSERT_FALSE(removed);
    EXPECT_EQ(removed.error().code(), base::ErrorCode::failed_precondition);
    ASSERT_EQ(::unlink(link.c_str()), 0);
  }
  EXPECT_TRUE(std::filesystem::exists(tree.path("precious")));
}

}  // namespace
}  // namespace segue::tree
