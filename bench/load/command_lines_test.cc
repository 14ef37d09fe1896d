// SPDX-License-Identifier: Apache-2.0
#include "load/command_lines.h"

#include <gmock/gmock.h>

namespace segue::load {
namespace {

using ::testing::ElementsAre;

TEST(CommandLines, words_are_cut_at_tabs_and_keep_their_spaces) {
  CommandLines lines;
  lines.add("probe\tCLIENT INFO\taddr=1\nstop\n");
  EXPECT_THAT(lines.next().value(), ElementsAre("probe", "CLIENT INFO", "addr=1"));
  EXPECT_THAT(lines.next().value(), ElementsAre("stop"));
  EXPECT_FALSE(lines.next().has_value());
}

TEST(CommandLines, line_may_come_in_pieces) {
  CommandLines lines;
  lines.add("mar");
  EXPECT_FALSE(lines.next().has_value());
  lines.add("k\tone");
  lines.add("\n");
  EXPECT_THAT(lines.next().value(), ElementsAre("mark", "one"));
}

TEST(CommandLines, endless_line_is_bounded) {
  CommandLines lines;
  for (int i = 0; i < 100; ++i) lines.add(std::string(1'000, 'x'));
  lines.add("\n");
  EXPECT_LE(lines.next().value().at(0).size(), CommandLines::kMaxLineBytes + 1'000);
}

}  // namespace
}  // namespace segue::load
