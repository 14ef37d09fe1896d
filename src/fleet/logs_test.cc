// SPDX-License-Identifier: Apache-2.0
#include "fleet/logs.h"

#include <gtest/gtest.h>

namespace segue::fleet {
namespace {

TEST(Logs, are_wanted_and_read_as_they_were_written) {
  const LogsWanted wanted{.component = "kv", .slot = Slot::canary, .from = "3:17", .lines = 5};
  const auto again = read_logs_wanted(write_logs_wanted(wanted));
  ASSERT_TRUE(again) << again.error().to_string();
  EXPECT_EQ(*again, wanted);
  const LogsRead read{.lines = {{3, "one"}, {4, ""}}, .at = "4:0", .more = true, .trouble = "x"};
  const auto answer = read_logs_read(write_logs_read(read));
  ASSERT_TRUE(answer) << answer.error().to_string();
  EXPECT_EQ(*answer, read);
}

TEST(Logs, may_hold_any_byte) {
  LogsRead read;
  read.lines = {{1, std::string(kMaxLogLineBytes, '\xff')}, {1, std::string("\0\n\x1b", 3)}};
  const auto answer = read_logs_read(write_logs_read(read));
  ASSERT_TRUE(answer) << answer.error().to_string();
  EXPECT_EQ(answer->lines[0].text.size(), 3 * kMaxLogLineBytes) << "U+FFFD each";
  EXPECT_EQ(answer->lines[1].text, read.lines[1].text);
}

TEST(Logs, are_bounded_and_name_an_instance) {
  EXPECT_FALSE(read_logs_wanted(write_logs_wanted({.component = "../kv"})));
  EXPECT_FALSE(read_logs_wanted(
      write_logs_wanted({.component = "kv", .from = std::string(kMaxLogPlaceBytes + 1, '1')})));
  EXPECT_EQ(read_logs_wanted(write_logs_wanted({.component = "kv", .lines = 4'000'000'000}))->lines,
            kMaxLogLines);
  LogsRead read;
  read.lines.resize(kMaxLogLines + 1);
  EXPECT_FALSE(read_logs_read(write_logs_read(read)));
  for (const char* wrong : {"", "{}", "[]", R"({"segue_logs":1})", R"({"segue_logs":0})"}) {
    EXPECT_FALSE(read_logs_read(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace segue::fleet
