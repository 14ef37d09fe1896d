// SPDX-License-Identifier: Apache-2.0
#include "agent/instance_logs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "os/files.h"
#include "os/temp_directory.h"

namespace segue::agent {
namespace {

using fleet::LogLine;
using testing::ElementsAre;
using testing::IsEmpty;

class InstanceLogsTest : public testing::Test {
 protected:
  void print(std::uint64_t generation, const std::string& text) {
    ASSERT_TRUE(os::append_to_file(path(generation), text, os::Durability::buffered));
  }
  [[nodiscard]] std::string path(std::uint64_t generation) const {
    return directory_.path(fmt::format("output.{}.log", generation));
  }
  fleet::LogsRead read(const std::string& from, std::uint32_t lines = 100) {
    auto answer = read_instance_logs(directory_.path(), from, lines);
    EXPECT_EQ(answer.trouble, "");
    return answer;
  }

  os::TempDirectory directory_;
};

TEST_F(InstanceLogsTest, are_the_last_lines_over_generations_and_then_what_comes) {
  print(1, "a\nb\n");
  print(2, "c\nd\nunfin");
  const auto last = read("", 3);
  EXPECT_THAT(last.lines, ElementsAre(LogLine{1, "b"}, LogLine{2, "c"}, LogLine{2, "d"}));
  EXPECT_THAT(read(last.at).lines, IsEmpty());
  print(2, "ished\n");
  print(1, "late\n");  // both run, in a handoff
  print(3, "e\r\n");
  const auto next = read(last.at);
  EXPECT_THAT(next.lines,
              ElementsAre(LogLine{1, "late"}, LogLine{2, "unfinished"}, LogLine{3, "e"}));
  EXPECT_FALSE(next.more);
  EXPECT_THAT(read(next.at).lines, IsEmpty());
}

TEST_F(InstanceLogsTest, have_the_last_word_of_who_has_ended_in_the_middle_of_it) {
  print(1, "panic: no");
  EXPECT_THAT(read("").lines, IsEmpty()) << "it may go on";
  const std::string at = read("").at;
  print(2, "started\n");
  EXPECT_THAT(read(at).lines, ElementsAre(LogLine{1, "panic: no"}, LogLine{2, "started"}));
}

TEST_F(InstanceLogsTest, come_in_bounded_pieces) {
  std::string many;
  for (int i = 0; i < 3'000; ++i) many += fmt::format("line {}\n", i);
  print(1, "first\n");
  const std::string at = read("").at;
  print(1, many + std::string(100'000, 'x') + "\nend\n");
  std::vector<std::string> lines;
  fleet::LogsRead piece{.lines = {}, .at = at, .more = true};
  for (int i = 0; i < 50 && piece.more; ++i) {
    piece = read(piece.at);
    EXPECT_LE(piece.lines.size(), fleet::kMaxLogLines);
    for (const auto& line : piece.lines) lines.push_back(line.text);
  }
  EXPECT_FALSE(piece.more);
  ASSERT_GT(lines.size(), 3'000U);
  EXPECT_EQ(lines[2'999], "line 2999");
  EXPECT_EQ(lines.back(), "end");
  std::size_t size = 0;
  for (const auto& line : lines) size += line.starts_with("x") ? line.size() : 0;
  EXPECT_EQ(size, 100'000U) << "a long line comes in parts, and whole";
  EXPECT_LE(read("", 1'000).lines.size(), fleet::kMaxLogLines);
}

TEST_F(InstanceLogsTest, go_on_when_a_file_began_anew_at_its_bound) {
  print(1, "a long line that is there\n");
  const std::string at = read("").at;
  ASSERT_TRUE(os::write_file_atomically(path(1), "new\n"));
  EXPECT_THAT(read(at).lines, ElementsAre(LogLine{1, "new"}));
}

TEST_F(InstanceLogsTest, are_of_the_keepers_files_alone) {
  print(1, "a\n");
  ASSERT_TRUE(os::write_file_atomically(directory_.path("secret"), "no\n"));
  std::filesystem::create_symlink("secret", path(2));
  ASSERT_TRUE(os::write_file_atomically(directory_.path("output.x.log"), "no\n"));
  EXPECT_THAT(read("").lines, ElementsAre(LogLine{1, "a"}));
  EXPECT_THAT(read_instance_logs(directory_.path("nothing"), "", 5).lines, IsEmpty());
  for (const char* wrong : {"x", "1", "1:", ":1", "1:2;3:4", "1:99999999999999999999"}) {
    EXPECT_NE(read_instance_logs(directory_.path(), wrong, 5).trouble, "") << wrong;
  }
}

}  // namespace
}  // namespace segue::agent
