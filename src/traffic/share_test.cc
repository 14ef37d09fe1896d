// SPDX-License-Identifier: Apache-2.0
#include "traffic/share.h"

#include <gtest/gtest.h>

#include <array>

namespace segue::traffic {
namespace {

TEST(Share, is_said_in_percent_down_to_a_millionth) {
  struct Case {
    const char* text;
    std::uint32_t ppm;
  };
  constexpr std::array<Case, 7> kCases = {{{"0%", 0},
                                           {"10%", 100'000},
                                           {"0.1%", 1'000},
                                           {"0.0001%", 1},
                                           {"12.5%", 125'000},
                                           {"99.9999%", 999'999},
                                           {"100%", kWholePpm}}};
  for (const auto& [text, ppm] : kCases) {
    ASSERT_TRUE(parse_share(text)) << text;
    EXPECT_EQ(*parse_share(text), ppm) << text;
    EXPECT_EQ(share_text(ppm), text);
  }
  EXPECT_EQ(parse_share("100.0000%"), kWholePpm);
}

TEST(Share, refuses_what_is_none) {
  for (const char* text : {"", "%", "10", "100.1%", "101%", "-1%", "1.%", ".5%", "0.00001%", "1e1%",
                           "10 %", "1.2.3%", "99999999999%", "ten%"}) {
    EXPECT_FALSE(parse_share(text)) << text;
  }
}

TEST(Share, reads_how_the_canary_is_picked) {
  EXPECT_EQ(parse_pick("source"), Pick::source);
  EXPECT_EQ(parse_pick("random"), Pick::random);
  EXPECT_FALSE(parse_pick("cookie"));
}

}  // namespace
}  // namespace segue::traffic
