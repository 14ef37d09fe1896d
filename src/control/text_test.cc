// SPDX-License-Identifier: Apache-2.0
#include "control/text.h"

#include <gtest/gtest.h>

namespace segue::control {
namespace {

TEST(Text, groups_thousands) {
  EXPECT_EQ(with_thousands(0), "0");
  EXPECT_EQ(with_thousands(999), "999");
  EXPECT_EQ(with_thousands(1'000), "1,000");
  EXPECT_EQ(with_thousands(12'345'678), "12,345,678");
}

TEST(Text, times_keep_three_digits) {
  EXPECT_EQ(milliseconds_text(80'000), "0.08 ms");
  EXPECT_EQ(milliseconds_text(12'340'000), "12.3 ms");
  EXPECT_EQ(milliseconds_text(1'250'000'000), "1,250 ms");
  EXPECT_EQ(seconds_text(20'000'000), "0.02 s");
}

TEST(Text, bytes_have_binary_units) {
  EXPECT_EQ(bytes_text(512), "512 B");
  EXPECT_EQ(bytes_text(1'228), "1.2 KiB");
  EXPECT_EQ(bytes_text(std::uint64_t{3} << 30), "3.0 GiB");
  EXPECT_EQ(bytes_text(1'048'575), "1.0 MiB");
}

TEST(Text, versions_that_are_numbers_get_a_v) {
  EXPECT_EQ(version_text("1"), "v1");
  EXPECT_EQ(version_text("2.10-rc"), "v2.10-rc");
  EXPECT_EQ(version_text("v3"), "v3");
  EXPECT_EQ(version_text("tip"), "tip");
  EXPECT_EQ(version_text(""), "");
}

TEST(Text, nouns_follow_their_number) {
  EXPECT_EQ(counted(1, "round"), "1 round");
  EXPECT_EQ(counted(1'000, "connection"), "1,000 connections");
}

}  // namespace
}  // namespace segue::control
