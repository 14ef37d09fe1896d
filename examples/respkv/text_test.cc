// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <string>

#include "glob.h"
#include "number.h"

namespace respkv {
namespace {

TEST(Glob, matches_as_redis_does) {
  EXPECT_TRUE(glob_matches("*", ""));
  EXPECT_TRUE(glob_matches("h?llo", "hello"));
  EXPECT_TRUE(glob_matches("h*llo", "heeeello"));
  EXPECT_TRUE(glob_matches("h[ae]llo", "hallo"));
  EXPECT_FALSE(glob_matches("h[^e]llo", "hello"));
  EXPECT_TRUE(glob_matches("h[b-a]llo", "hallo"));
  EXPECT_TRUE(glob_matches("a\\*b", "a*b"));
  EXPECT_FALSE(glob_matches("a\\*b", "axb"));
  EXPECT_FALSE(glob_matches("abc", "ab"));
  EXPECT_FALSE(glob_matches("", "a"));
  EXPECT_TRUE(glob_matches("a**b*", "axxbyy"));
  EXPECT_FALSE(glob_matches("[", "a"));
}

TEST(Glob, takes_no_more_than_quadratic_time) {
  std::string pattern;
  for (int i = 0; i < 100; ++i) pattern += "*a";
  EXPECT_FALSE(glob_matches(pattern + "b", std::string(10'000, 'a')));
}

TEST(ParseInteger, takes_only_the_canonical_form) {
  EXPECT_EQ(parse_integer("0"), 0);
  EXPECT_EQ(parse_integer("-9223372036854775808"), INT64_MIN);
  EXPECT_EQ(parse_integer("9223372036854775807"), INT64_MAX);
  for (const char* text :
       {"", "-", "+1", "01", "-0", "-01", " 1", "1 ", "1x", "0x1", "9223372036854775808"}) {
    EXPECT_EQ(parse_integer(text), std::nullopt) << text;
  }
}

TEST(ParseFloat, takes_the_whole_text) {
  EXPECT_EQ(parse_float("1.5"), 1.5L);
  EXPECT_EQ(parse_float("1e3"), 1000.0L);
  for (const char* text : {"", "nan", " 1", "1 ", "1.5x", "abc"}) {
    EXPECT_EQ(parse_float(text), std::nullopt) << text;
  }
}

TEST(Format, numbers_as_redis_writes_them) {
  EXPECT_EQ(format_double(3), "3");
  EXPECT_EQ(format_double(2.5), "2.5");
  EXPECT_EQ(format_double(-1.0 / 0.0), "-inf");
  EXPECT_EQ(format_long_double(*parse_float("10.5") + *parse_float("0.1")), "10.6");
  EXPECT_EQ(format_long_double(5), "5");
}

}  // namespace
}  // namespace respkv
