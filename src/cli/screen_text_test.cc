// SPDX-License-Identifier: Apache-2.0
#include "cli/screen_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace segue::cli {
namespace {

using testing::ElementsAre;

TEST(ScreenText, holds_nothing_that_a_terminal_would_obey) {
  EXPECT_EQ(shown_text("a\x1b[2Jb\nc\td\x7f"), "a [2Jb c d ");
  EXPECT_EQ(shown_text("\xC2\x9B"
                       "2J"),
            " 2J")
      << "CSI in one character";
  EXPECT_EQ(shown_text("\xE2\x80\xAE"
                       "evil"),
            " evil")
      << "from right to left";
  EXPECT_EQ(shown_text("\xFF\xC0\xAF"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(shown_text("\xE2\x94"), "\xEF\xBF\xBD\xEF\xBF\xBD") << "cut in the middle";
  EXPECT_EQ(shown_text("grün → 漢"), "grün → 漢");
}

TEST(ScreenText, is_as_wide_as_its_characters) {
  EXPECT_EQ(columns_of("grün"), 4U);
  EXPECT_EQ(columns_of("漢字"), 4U);
  EXPECT_EQ(columns_of("e\xCC\x81"), 1U) << "an accent stands on its letter";
}

TEST(ScreenText, is_cut_between_characters) {
  EXPECT_EQ(cut_text("grüner", 6, "…"), "grüner");
  EXPECT_EQ(cut_text("grüner", 4, "…"), "grü…");
  EXPECT_EQ(cut_text("漢字漢字", 4, "~"), "漢~") << "half a character is none";
  EXPECT_EQ(cut_text("abc", 0, "~"), "");
}

TEST(ScreenText, is_wrapped_at_spaces_into_few_lines) {
  EXPECT_THAT(wrapped_text("one two three four", 9, 3, "~"),
              ElementsAre("one two", "three", "four"));
  EXPECT_THAT(wrapped_text("one two three four", 9, 2, "~"), ElementsAre("one two", "three fo~"));
  EXPECT_THAT(wrapped_text("abcdefghij", 4, 9, "~"), ElementsAre("abcd", "efgh", "ij"));
  EXPECT_THAT(wrapped_text("one two", 0, 3, "~"), ElementsAre("one two"));
  EXPECT_THAT(wrapped_text("漢漢", 1, 3, "~"), ElementsAre("~"));
}

TEST(ScreenText, lines_are_cut_across_their_pieces) {
  const ScreenLine line{{"abc", Tone::strong}, {"def", Tone::bad}, {"ghi"}};
  EXPECT_EQ(plain_text(cut_line(line, 9, "~")), "abcdefghi");
  EXPECT_EQ(plain_text(cut_line(line, 5, "~")), "abcd~");
  EXPECT_EQ(plain_text(cut_line(line, 3, "~")), "ab~");
  EXPECT_EQ(plain_text(cut_line(line, 0, "~")), "abcdefghi");
  EXPECT_EQ(coloured_text({{"a", Tone::good}, {"b"}}), "\x1b[32ma\x1b[0mb");
}

}  // namespace
}  // namespace segue::cli
