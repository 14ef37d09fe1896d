// SPDX-License-Identifier: Apache-2.0
#include "confine/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace segue::confine {
namespace {

using testing::ElementsAre;
using Words = std::vector<std::string>;

TEST(ConfineCommandLine, has_the_limits_before_the_program) {
  const auto line =
      parse_command_line(Words{"--memory=1m", "--pids=7", "--", "/bin/x", "--memory=2"});
  ASSERT_TRUE(line) << line.error().to_string();
  EXPECT_EQ(line->options.memory_bytes, std::uint64_t{1} << 20U);
  EXPECT_EQ(line->options.max_processes, 7U);
  EXPECT_THAT(line->program, ElementsAre("/bin/x", "--memory=2"));
  EXPECT_FALSE(line->checks);
}

TEST(ConfineCommandLine, wants_a_program_unless_it_only_checks) {
  EXPECT_FALSE(parse_command_line(Words{"--memory=1m"}));
  EXPECT_FALSE(parse_command_line(Words{"--image=x", "--", "/bin/x"}));
  EXPECT_FALSE(parse_command_line(Words{"/bin/x"}));
  const auto line = parse_command_line(Words{"--check", "--memory=1m"});
  ASSERT_TRUE(line);
  EXPECT_TRUE(line->checks);
}

}  // namespace
}  // namespace segue::confine
