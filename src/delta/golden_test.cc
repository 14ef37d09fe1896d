// SPDX-License-Identifier: Apache-2.0
// The recorded bytes of protocol/delta.golden: what was written once is written and read for ever.
#include <gtest/gtest.h>

#include <fstream>
#include <map>

#include "delta/archive_samples.h"
#include "delta/memory_tree.h"

namespace segue::delta {
namespace {

std::string hex_of(ByteView bytes) {
  std::string text;
  for (const std::uint8_t byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

Bytes bytes_of_hex(const std::string& text) {
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes.push_back(static_cast<std::uint8_t>(std::stoi(text.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

std::map<std::string, Bytes> recorded() {
  std::ifstream file(SEGUE_DELTA_GOLDEN_FILE);
  std::map<std::string, Bytes> golden;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    const std::size_t begin = line.find(' ') + 1;
    const std::size_t end = line.find(' ', begin);
    golden[line.substr(0, begin - 1)] = bytes_of_hex(line.substr(begin, end - begin));
  }
  return golden;
}

// Text that no library's version has a say in.
Bytes numbered_lines(int first, int last) {
  std::string text;
  for (int i = first; i < last; ++i) text += fmt::format("line {} of the file\n", i * i);
  return bytes_of(text);
}

MemoryTree base_tree() {
  const std::vector<Entry> entries = {
      {.type = EntryType::directory, .mode = 0755},
      {.path = "bin", .type = EntryType::directory, .mode = 0755},
      {.path = "bin/run", .mode = 04755, .attributes = {{"user.note", "v1"}}},
      {.path = "bin/run-link", .type = EntryType::symlink, .mode = 0777, .link_target = "run"},
      {.path = "bin/same", .type = EntryType::hard_link, .linked_entry = 2},
      {.path = "gone", .mode = 0600},
      {.path = "text", .mode = 0644, .holes = {{4, 8}}},
  };
  return {entries,
          {{"bin/run", numbered_lines(0, 60)},
           {"gone", bytes_of("gone")},
           {"text", bytes_of(std::string_view("text\0\0\0\0\0\0\0\0end", 15))}}};
}

MemoryTree target_tree() {
  Bytes run = numbered_lines(0, 60);
  const Bytes more = numbered_lines(100, 104);
  run.insert(run.begin() + 500, more.begin(), more.end());
  run[30] = 'X';
  const std::vector<Entry> entries = {
      {.type = EntryType::directory, .mode = 0755},
      {.path = "bin", .type = EntryType::directory, .mode = 0700},
      {.path = "bin/run", .mode = 04755, .attributes = {{"user.note", "v2"}}},
      {.path = "bin/run-link", .type = EntryType::symlink, .mode = 0777, .link_target = "run"},
      {.path = "bin/same", .type = EntryType::hard_link, .linked_entry = 2},
      {.path = "new\xff", .mode = 0644},
      {.path = "renamed", .mode = 0644, .holes = {{4, 8}}},
      {.path = "twice", .mode = 0644},
  };
  return {entries,
          {{"bin/run", run},
           {"new\xff", bytes_of("fresh")},
           {"renamed", bytes_of(std::string_view("text\0\0\0\0\0\0\0\0end", 15))},
           {"twice", bytes_of("fresh")}}};
}

void expect_written(const std::string& name, const Bytes& bytes) {
  const auto golden = recorded();
  ASSERT_TRUE(golden.contains(name)) << name << ' ' << hex_of(bytes);
  EXPECT_EQ(hex_of(golden.at(name)), hex_of(bytes)) << name;
}

TEST(Golden, manifests_are_written_as_recorded) {
  expect_written("manifest.base", encode(base_tree().manifest()));
  expect_written("manifest.target", encode(target_tree().manifest()));
}

TEST(Golden, recorded_manifests_are_read) {
  const auto golden = recorded();
  EXPECT_EQ(decode_manifest(golden.at("manifest.base")), base_tree().manifest());
  EXPECT_EQ(decode_manifest(golden.at("manifest.target")), target_tree().manifest());
}

TEST(Golden, deltas_are_written_as_recorded) {
  MemoryTree base = base_tree();
  MemoryTree target = target_tree();
  const auto delta = make_delta(base.manifest(), base, target.manifest(), target);
  ASSERT_TRUE(delta) << delta.error().to_string();
  expect_written("delta.edited", *delta);
}

TEST(Golden, recorded_deltas_are_applied) {
  MemoryTree base = base_tree();
  const MemoryTree target = target_tree();
  for (const auto& [name, bytes] : recorded()) {
    if (!name.starts_with("delta.")) continue;
    MemoryWriter writer(base);
    const auto result = apply_delta(bytes, base.manifest(), base, root_of(target.manifest()),
                                    {.max_target_bytes = 1 << 20}, writer);
    if (name.starts_with("delta.refused")) {
      EXPECT_FALSE(result) << name;
      continue;
    }
    ASSERT_TRUE(result) << name << ": " << result.error().to_string();
    EXPECT_TRUE(writer.contents == target.contents()) << name;
  }
}

// Both trees of `archive.…`: a zip archive, a member of which changes. Other libraries than the one
// that was recorded with may deflate otherwise.
constexpr std::uint32_t kRecordedDeflate = 1919903706;

bool deflates_as_recorded() {
  return packing_identity({}) == kRecordedDeflate;
}

MemoryTree archive_tree(int changed) {
  Bytes text = numbered_lines(0, 400);
  const Bytes more = numbered_lines(changed, changed + 3);
  text.insert(text.begin() + 30, more.begin(), more.end());
  return MemoryTree::of_files(
      {{"a.jar", zip_of({{"changed", text}, {"kept", numbered_lines(60, 90)}}, {})}});
}

TEST(Golden, deltas_of_archives_are_written_as_recorded) {
  if (!deflates_as_recorded()) GTEST_SKIP() << "another zlib: " << *packing_identity({});
  MemoryTree base = archive_tree(1000);
  MemoryTree target = archive_tree(2000);
  const auto delta = make_delta(base.manifest(), base, target.manifest(), target);
  ASSERT_TRUE(delta) << delta.error().to_string();
  expect_written("archive.edited", *delta);
}

TEST(Golden, recorded_deltas_of_archives_are_applied) {
  if (!deflates_as_recorded()) GTEST_SKIP() << "another zlib: " << *packing_identity({});
  MemoryTree base = archive_tree(1000);
  const MemoryTree target = archive_tree(2000);
  MemoryWriter writer(base);
  const auto result =
      apply_delta(recorded().at("archive.edited"), base.manifest(), base,
                  root_of(target.manifest()), {.max_target_bytes = 1 << 20}, writer);
  ASSERT_TRUE(result) << result.error().to_string();
  EXPECT_TRUE(writer.contents == target.contents());
}

}  // namespace
}  // namespace segue::delta
