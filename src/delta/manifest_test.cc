// SPDX-License-Identifier: Apache-2.0
#include "delta/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace segue::delta {
namespace {

using testing::HasSubstr;

Entry directory(std::string path) {
  return {.path = std::move(path), .type = EntryType::directory, .mode = 0755};
}
Entry file(std::string path, std::uint64_t size_bytes = 3) {
  return {.path = std::move(path),
          .mode = 0644,
          .size_bytes = size_bytes,
          .content = digest_of(view_of("abc"))};
}
Entry symlink(std::string path, std::string to) {
  return {.path = std::move(path),
          .type = EntryType::symlink,
          .mode = 0777,
          .link_target = std::move(to)};
}

Manifest made(std::vector<Entry> entries) {
  entries.insert(entries.begin(), directory(""));
  auto manifest = make_manifest(std::move(entries));
  EXPECT_TRUE(manifest) << manifest.error().to_string();
  return manifest.value_or(Manifest{});
}

std::string refusal(std::vector<Entry> entries) {
  entries.insert(entries.begin(), directory(""));
  const auto manifest = make_manifest(std::move(entries));
  return manifest ? "accepted" : manifest.error().message();
}

Manifest everything() {
  Entry sparse = file("a/sparse", 1 << 20);
  sparse.holes = {{0, 4096}, {8192, 65536}};
  Entry attributed = file("a/attributed");
  attributed.attributes = {{"security.capability", std::string("\1\0\2", 3)}, {"user.x", ""}};
  attributed.mode = 04755;
  return made({directory("a"), sparse, attributed, symlink("a/link", "../\xff/nowhere"),
               file("a-b"), file("not utf-8 \xfe\xff"), directory("empty")});
}

TEST(Manifest, decodes_to_what_was_encoded) {
  const Manifest manifest = everything();
  const auto decoded = decode_manifest(encode(manifest));
  ASSERT_TRUE(decoded) << decoded.error().to_string();
  EXPECT_EQ(*decoded, manifest);
}

TEST(Manifest, root_is_the_digest_of_the_encoding) {
  const Manifest manifest = everything();
  EXPECT_EQ(root_of(manifest), digest_of(encode(manifest)));
}

TEST(Manifest, a_directory_comes_right_before_what_it_contains) {
  const Manifest manifest = made({file("a-b"), file("a/z"), directory("a"), file("a.b")});
  std::vector<std::string> paths;
  for (const Entry& entry : manifest.entries) paths.push_back(entry.path);
  EXPECT_THAT(paths, testing::ElementsAre("", "a", "a/z", "a-b", "a.b"));
}

TEST(Manifest, order_of_arrival_does_not_change_the_root) {
  EXPECT_EQ(root_of(made({directory("a"), file("a/b"), file("c")})),
            root_of(made({file("c"), file("a/b"), directory("a")})));
}

TEST(Manifest, the_first_path_of_a_hard_link_group_has_the_content) {
  Entry link{.path = "a", .type = EntryType::hard_link, .linked_entry = 2};
  const Manifest manifest = made({link, file("b")});
  EXPECT_EQ(manifest.entries[1].type, EntryType::regular);
  EXPECT_EQ(manifest.entries[1].content, digest_of(view_of("abc")));
  EXPECT_EQ(manifest.entries[2].type, EntryType::hard_link);
  EXPECT_EQ(manifest.entries[2].linked_entry, 1U);
}

TEST(Manifest, refuses_paths_that_leave_the_tree) {
  EXPECT_THAT(refusal({file("..")}), HasSubstr("'.' or '..'"));
  EXPECT_THAT(refusal({directory("a"), file("a/../b")}), HasSubstr("'.' or '..'"));
  EXPECT_THAT(refusal({file("./a")}), HasSubstr("'.' or '..'"));
  EXPECT_THAT(refusal({file("/etc/passwd")}), HasSubstr("absolute"));
  EXPECT_THAT(refusal({directory("a"), file("a//b")}), HasSubstr("empty name"));
  EXPECT_THAT(refusal({directory("a"), file("a/")}), HasSubstr("empty name"));
  EXPECT_THAT(refusal({file(std::string("a\0b", 3))}), HasSubstr("NUL"));
  EXPECT_THAT(refusal({file(std::string(256, 'x'))}), HasSubstr("255"));
}

TEST(Manifest, refuses_entries_below_what_is_no_directory) {
  EXPECT_THAT(refusal({file("a"), file("a/b")}), HasSubstr("not a directory"));
  EXPECT_THAT(refusal({symlink("a", "/etc"), file("a/passwd")}), HasSubstr("not a directory"));
  EXPECT_THAT(refusal({file("missing/b")}), HasSubstr("missing"));
  EXPECT_THAT(refusal({directory("a"), directory("ab"), file("a/b/c")}), HasSubstr("missing"));
}

TEST(Manifest, refuses_duplicates_and_odd_fields) {
  EXPECT_THAT(refusal({file("a"), file("a")}), HasSubstr("duplicate"));
  EXPECT_THAT(refusal({symlink("a", "")}), HasSubstr("link target"));
  Entry mode = file("a");
  mode.mode = 010000;
  EXPECT_THAT(refusal({mode}), HasSubstr("mode"));
  Entry holes = file("a", 100);
  holes.holes = {{0, 10}, {10, 10}};
  EXPECT_THAT(refusal({holes}), HasSubstr("holes"));
  holes.holes = {{90, 11}};
  EXPECT_THAT(refusal({holes}), HasSubstr("holes"));
  Entry attributes = file("a");
  attributes.attributes = {{"b", ""}, {"a", ""}};
  EXPECT_THAT(refusal({attributes}), HasSubstr("order"));
  EXPECT_THAT(refusal({Entry{.path = "a", .type = EntryType::hard_link, .linked_entry = 9}}),
              HasSubstr("hard link"));
}

TEST(Manifest, bytes_cut_off_anywhere_are_refused) {
  const Bytes bytes = encode(everything());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode_manifest(ByteView(bytes).first(size))) << size;
  }
}

TEST(Manifest, what_is_accepted_is_what_encode_writes) {
  const Bytes bytes = encode(everything());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    for (const int flip : {0x01, 0x80, 0xff}) {
      Bytes damaged = bytes;
      damaged[i] = static_cast<std::uint8_t>(damaged[i] ^ flip);
      const auto decoded = decode_manifest(damaged);
      if (decoded) {
        EXPECT_EQ(encode(*decoded), damaged) << i;
      }
    }
  }
}

TEST(Manifest, a_hundred_thousand_entries) {
  std::vector<Entry> entries = {directory("")};
  for (int i = 0; i < 100; ++i) {
    entries.push_back(directory(fmt::format("d{}", i)));
    for (int k = 0; k < 1000; ++k) entries.push_back(file(fmt::format("d{}/file{}", i, k)));
  }
  const auto manifest = make_manifest(std::move(entries));
  ASSERT_TRUE(manifest);
  const auto decoded = decode_manifest(encode(*manifest));
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->entries.size(), 100101U);
  EXPECT_EQ(find_entry(*decoded, "d7/file77").has_value(), true);
}

TEST(FileAt, is_what_opening_its_path_leads_to) {
  const Entry hard{.path = "bin/hard", .type = EntryType::hard_link, .linked_entry = 4};
  const Manifest manifest = made(
      {directory("bin"), directory("lib"), directory("lib/v1"), file("bin/chat-1"),
       file("lib/v1/hub"), symlink("bin/chat", "chat-1"), symlink("bin/hub", "../lib/now/./hub"),
       symlink("lib/now", "v1"), symlink("bin/sh", "/bin/sh"), symlink("bin/out", "../../chat"),
       symlink("bin/loop", "loop"), symlink("bin/folder", "../lib"), hard});
  const auto path_at = [&](std::string_view path) {
    const Entry* found = file_at(manifest, path);
    return found == nullptr ? "" : found->path;
  };
  EXPECT_EQ(path_at("bin/chat-1"), "bin/chat-1");
  EXPECT_EQ(path_at("./bin//chat-1"), "bin/chat-1");
  EXPECT_EQ(path_at("bin/chat"), "bin/chat-1");
  EXPECT_EQ(path_at("bin/hub"), "lib/v1/hub");
  EXPECT_EQ(path_at("bin/folder/v1/hub"), "lib/v1/hub");
  EXPECT_EQ(path_at("bin/hard"), "bin/chat-1");
  for (const char* none : {"", "/bin/chat", "bin", "bin/none", "bin/chat/more", "bin/sh", "bin/out",
                           "bin/loop", "bin/folder", "..", "bin/../../bin/chat"}) {
    EXPECT_EQ(path_at(none), "") << none;
  }
}

}  // namespace
}  // namespace segue::delta
