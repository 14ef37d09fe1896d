// SPDX-License-Identifier: Apache-2.0
#include "keeper/command_line.h"

#include <gtest/gtest.h>

namespace segue::keeper {
namespace {

TEST(CommandLine, holds_what_segue_run_writes) {
  const auto line =
      parse_command_line({"kv", "--start-ms=500", "--max-restarts=3", "--cwd=/srv", "--env=A=b=c",
                          "--client-fd=3", "--", "/bin/kv", "--port=1"});
  ASSERT_TRUE(line) << line.error().to_string();
  EXPECT_EQ(line->name, "kv");
  EXPECT_EQ(line->run.start_ms, 500U);
  EXPECT_EQ(line->run.max_restarts, 3U);
  EXPECT_EQ(line->client_fd, 3);
  EXPECT_FALSE(line->foreground);
  EXPECT_EQ(line->launch, (control::Launch{{"/bin/kv", "--port=1"}, "/srv", {"A=b=c"}}));
}

TEST(CommandLine, leaves_the_programs_words_alone) {
  const auto line =
      parse_command_line({"kv", "--foreground", "--", "/x", "--foreground", "--help"});
  ASSERT_TRUE(line);
  EXPECT_TRUE(line->foreground);
  EXPECT_EQ(line->launch.argv.size(), 3U);
}

TEST(CommandLine, asks_for_help) {
  EXPECT_TRUE(parse_command_line({})->help);
  EXPECT_TRUE(parse_command_line({"--help"})->help);
}

TEST(CommandLine, refuses_what_it_does_not_know) {
  EXPECT_FALSE(parse_command_line({"../kv", "--", "/x"}));
  EXPECT_FALSE(parse_command_line({"kv"}));
  EXPECT_FALSE(parse_command_line({"kv", "--", "relative"}));
  EXPECT_FALSE(parse_command_line({"kv", "--colour=red", "--", "/x"}));
  EXPECT_FALSE(parse_command_line({"kv", "--client-fd=2", "--", "/x"}));
  EXPECT_FALSE(parse_command_line({"kv", "--client-fd=x", "--", "/x"}));
  EXPECT_FALSE(parse_command_line({"kv", "--unsafe-fault=lunch:kill", "--", "/x"}));
}

TEST(CommandLine, of_a_program_that_goes_on_from_a_state_names_its_descriptor_alone) {
  EXPECT_EQ(parse_command_line({"--check-state=3"})->check_state_fd, 3);
  const auto line = parse_command_line({"kv", "--resume-state=12"});
  ASSERT_TRUE(line);
  EXPECT_EQ(line->name, "kv");
  EXPECT_EQ(line->resume_fd, 12);
  EXPECT_FALSE(parse_command_line({"--check-state=x"}));
  EXPECT_FALSE(parse_command_line({"--check-state=3", "--", "/x"}));
  EXPECT_FALSE(parse_command_line({"kv", "--resume-state=12", "--", "/x"}));
}

TEST(Fault, is_a_point_and_an_action) {
  const auto fault = parse_fault("commit:stop");
  ASSERT_TRUE(fault);
  EXPECT_EQ(fault->point, "commit");
  EXPECT_EQ(fault->action, Fault::Action::stop);
  for (const char* text : {"", "commit", "commit:", ":kill", "commit:explode", "nowhere:kill"}) {
    EXPECT_FALSE(parse_fault(text)) << text;
  }
}

}  // namespace
}  // namespace segue::keeper
