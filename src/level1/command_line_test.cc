// SPDX-License-Identifier: Apache-2.0
#include "level1/command_line.h"

#include <gtest/gtest.h>

namespace segue::level1 {
namespace {

TEST(CommandLine, names_the_program_after_its_options) {
  const auto line = parse_command_line({"--freeze-ms=7", "--", "python3", "--x"});
  ASSERT_TRUE(line);
  EXPECT_EQ(line->freeze_ms, 7U);
  EXPECT_EQ(line->program, (std::vector<std::string>{"python3", "--x"}));
}

TEST(CommandLine, refuses_what_it_does_not_know) {
  EXPECT_FALSE(parse_command_line({}));
  EXPECT_FALSE(parse_command_line({"--"}));
  EXPECT_FALSE(parse_command_line({"--freeze-ms=0", "--", "x"}));
  EXPECT_FALSE(parse_command_line({"--freeze-ms=1s", "--", "x"}));
  EXPECT_FALSE(parse_command_line({"--budget=1", "--", "x"}));
  EXPECT_NE(parse_command_line({"prog"}).error().message().find("no option 'prog'"),
            std::string::npos);
}

TEST(CommandLine, help_needs_no_program) {
  EXPECT_TRUE(parse_command_line({"--help"})->help);
}

}  // namespace
}  // namespace segue::level1
