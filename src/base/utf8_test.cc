// SPDX-License-Identifier: Apache-2.0
#include "base/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace segue::base {
namespace {

TEST(Utf8, is_known_by_its_sequences) {
  EXPECT_EQ(utf8_length("a\xff"), 1U);
  EXPECT_EQ(utf8_length("\xc3\xa4"), 2U);
  EXPECT_EQ(utf8_length("\xe2\x82\xac"), 3U);
  EXPECT_EQ(utf8_length("\xf0\x9f\x98\x80"), 4U);
  for (const char* wrong : {"\x80", "\xc0\xaf", "\xc3", "\xc3z", "\xe0\x80\x80", "\xed\xa0\x80",
                            "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff"}) {
    EXPECT_EQ(utf8_length(wrong), 0U) << wrong;
  }
}

TEST(Utf8, ends_at_the_first_byte_that_is_none) {
  EXPECT_EQ(utf8_prefix(""), 0U);
  EXPECT_EQ(utf8_prefix("\xef\xbb\xbf\xc3\xa4"), 5U);
  EXPECT_EQ(utf8_prefix("a\xc3\xa4\xffz"), 3U);
  EXPECT_EQ(utf8_prefix(std::string("a\0b", 3)), 3U);
}

}  // namespace
}  // namespace segue::base
