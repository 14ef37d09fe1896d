// SPDX-License-Identifier: Apache-2.0
#include "config/quantities.h"

#include <gtest/gtest.h>

namespace segue::config {
namespace {

TEST(Quantities, of_time_are_read_with_their_units) {
  EXPECT_EQ(parse_time_span_us("500us"), 500U);
  EXPECT_EQ(parse_time_span_us("10ms"), 10'000U);
  EXPECT_EQ(parse_time_span_us("30s"), 30'000'000U);
  EXPECT_EQ(parse_time_span_us("1h30m"), 5'400'000'000U);
  EXPECT_EQ(parse_time_span_us("0s"), 0U);
  EXPECT_EQ(parse_time_span_us("366d"), 366U * 86'400'000'000U);
  for (const char* text : {"", "30", "s", "30 s", "-1s", "1.5s", "1m1h", "1s1s", "367d", "366d1us",
                           "1sec", "9999999999999999s", "${TIME}"}) {
    EXPECT_FALSE(parse_time_span_us(text)) << text;
  }
}

TEST(Quantities, of_size_are_read_with_their_units) {
  EXPECT_EQ(parse_size_bytes("0B"), 0U);
  EXPECT_EQ(parse_size_bytes("512MiB"), std::uint64_t{512} << 20U);
  EXPECT_EQ(parse_size_bytes("1024TiB"), std::uint64_t{1} << 50U);
  for (const char* text : {"", "512", "512M", "512MB", "512mib", "1.5GiB", "MiB", "1025TiB"}) {
    EXPECT_FALSE(parse_size_bytes(text)) << text;
  }
}

TEST(Quantities, in_percent_have_up_to_four_digits_behind_the_point) {
  EXPECT_EQ(parse_percent_ppm("10%"), 100'000U);
  EXPECT_EQ(parse_percent_ppm("0.5%"), 5'000U);
  EXPECT_EQ(parse_percent_ppm("0.0001%"), 1U);
  EXPECT_EQ(parse_percent_ppm("100%"), 1'000'000U);
  EXPECT_EQ(parse_growth_ppm("150%"), 1'500'000U);
  EXPECT_EQ(parse_growth_ppm("10000%"), 100'000'000U);
  EXPECT_FALSE(parse_growth_ppm("10001%"));
  EXPECT_FALSE(parse_growth_ppm("1.5"));
  for (const char* text : {"", "%", "10", "101%", "100.0001%", "0.00001%", "1.%", ".5%", "-1%"}) {
    EXPECT_FALSE(parse_percent_ppm(text)) << text;
  }
}

TEST(Quantities, in_thousandths_are_exact) {
  EXPECT_EQ(parse_thousandths("2"), 2'000U);
  EXPECT_EQ(parse_thousandths("1.5"), 1'500U);
  EXPECT_EQ(parse_thousandths("0.001"), 1U);
  for (const char* text : {"", "1.", ".5", "0.0001", "1000000.001", "1e3", "a"}) {
    EXPECT_FALSE(parse_thousandths(text)) << text;
  }
}

TEST(Quantities, are_read_as_what_was_written) {
  EXPECT_EQ(time_span_text(0), "0s");
  EXPECT_EQ(time_span_text(90'000'000), "90s");
  EXPECT_EQ(time_span_text(60'000'000), "1m");
  EXPECT_EQ(size_text(0), "0B");
  EXPECT_EQ(size_text(1'536), "1536B");
  EXPECT_EQ(percent_text(5'000), "0.5%");
  EXPECT_EQ(percent_text(1), "0.0001%");
  EXPECT_EQ(thousandths_text(1'250), "1.25");
  for (std::uint64_t n = 1; n < 1'000'000'000; n = n * 3 + 1) {
    EXPECT_EQ(parse_time_span_us(time_span_text(n)), n);
    EXPECT_EQ(parse_size_bytes(size_text(n)), n);
    const auto small = static_cast<std::uint32_t>(n % 1'000'001);
    EXPECT_EQ(parse_percent_ppm(percent_text(small)), small);
    EXPECT_EQ(parse_thousandths(thousandths_text(small)), small);
  }
}

}  // namespace
}  // namespace segue::config
