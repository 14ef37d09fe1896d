// SPDX-License-Identifier: Apache-2.0
#include "cli/share_record.h"

#include <gtest/gtest.h>

namespace segue::cli {
namespace {

const ShareRecord kRecord{{100'000, traffic::Pick::source, 0xFFFFFFFF},
                          "2026-01-31T12:00:00.000Z",
                          "a-boot",
                          {{"web", {~std::uint64_t{0}, 7, {1, 0}}}}};

TEST(ShareRecord, comes_back_as_it_was_written) {
  const auto read = parse_share_record(to_json(kRecord));
  ASSERT_TRUE(read) << read.error().to_string();
  EXPECT_EQ(*read, kRecord);
}

TEST(ShareRecord, damage_is_said) {
  const std::string whole = to_json(kRecord);
  for (std::size_t size = 0; size + 2 < whole.size(); ++size) {
    EXPECT_FALSE(parse_share_record(whole.substr(0, size))) << size;
  }
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string text = whole;
    text.replace(text.find(from), from.size(), to);
    return text;
  };
  EXPECT_FALSE(parse_share_record(changed("100000", "1000001")));
  EXPECT_FALSE(parse_share_record(changed("100000", "-1")));
  EXPECT_FALSE(parse_share_record(changed("\"source\"", "\"moon\"")));
  EXPECT_FALSE(parse_share_record(changed("\"version\":1", "\"version\":2")));
  EXPECT_FALSE(parse_share_record(changed("4294967295", "4294967296")));
  EXPECT_FALSE(parse_share_record(changed("\"a-boot\"", "7")));
}

}  // namespace
}  // namespace segue::cli
