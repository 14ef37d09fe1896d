// SPDX-License-Identifier: Apache-2.0
#include "fetch/served_file.h"

#include <gtest/gtest.h>

#include <limits>

namespace segue::fetch {
namespace {

using Kind = RangeAnswer::Kind;

const std::string kDigits(64, 'a');

TEST(ServedFile, is_metadata_or_an_object) {
  EXPECT_EQ(parse_target("/metadata/timestamp.json")->path, "metadata/timestamp.json");
  EXPECT_FALSE(parse_target("/metadata/timestamp.json")->is_immutable);
  EXPECT_TRUE(parse_target("/metadata/12.chat.json")->is_immutable);
  EXPECT_EQ(parse_target("/objects/aa/" + kDigits)->path, "objects/aa/" + kDigits);
  EXPECT_TRUE(parse_target("/objects/aa/" + kDigits + "?cache=1"));
}

TEST(ServedFile, is_nothing_else_whatever_it_is_called) {
  const std::string long_name(300, 'a');
  for (const std::string& target : {std::string("/"),
                                    std::string(""),
                                    std::string("/metadata/"),
                                    std::string("/metadata/.json"),
                                    std::string("/metadata/../lock"),
                                    std::string("/metadata/../pins/a.json"),
                                    std::string("/metadata/%2e%2e/a.json"),
                                    std::string("/metadata/a/b.json"),
                                    std::string("/metadata/.hidden.json"),
                                    "/metadata/" + long_name + ".json",
                                    std::string("/pins/plan"),
                                    std::string("/lock"),
                                    std::string("/cache/chunks"),
                                    "/objects/ab/" + kDigits,
                                    "/objects/aa/" + kDigits + "a",
                                    "/objects/AA/" + kDigits,
                                    "/objects/aa/" + kDigits + "/",
                                    std::string("/objects/aa/..") + kDigits.substr(2),
                                    "objects/aa/" + kDigits,
                                    std::string("/metadata/a\0b.json", 18)}) {
    EXPECT_FALSE(parse_target(target)) << target;
  }
}

TEST(ByteRanges, are_taken_as_rfc_9110_says) {
  EXPECT_EQ(parse_range("", 10), (RangeAnswer{Kind::whole, {0, 10}}));
  EXPECT_EQ(parse_range("bytes=0-3", 10), (RangeAnswer{Kind::part, {0, 4}}));
  EXPECT_EQ(parse_range("bytes=4-", 10), (RangeAnswer{Kind::part, {4, 6}}));
  EXPECT_EQ(parse_range("bytes=4-100", 10), (RangeAnswer{Kind::part, {4, 6}}));
  EXPECT_EQ(parse_range("bytes=-3", 10), (RangeAnswer{Kind::part, {7, 3}}));
  EXPECT_EQ(parse_range("bytes=-30", 10), (RangeAnswer{Kind::part, {0, 10}}));
}

TEST(ByteRanges, beyond_the_end_cannot_be_satisfied) {
  EXPECT_EQ(parse_range("bytes=10-", 10).kind, Kind::unsatisfiable);
  EXPECT_EQ(parse_range("bytes=-0", 10).kind, Kind::unsatisfiable);
  EXPECT_EQ(parse_range("bytes=0-", 0).kind, Kind::unsatisfiable);
  const auto largest = std::to_string(std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(parse_range("bytes=0-" + largest, 10), (RangeAnswer{Kind::part, {0, 10}}));
}

TEST(ByteRanges, that_are_malformed_or_several_give_the_whole_file) {
  for (const char* field :
       {"bytes=", "bytes=-", "bytes=5-3", "bytes=a-b", "items=0-3", "bytes=0-1,4-5",
        "bytes=99999999999999999999-", "bytes=0--1", "bytes= 0-1"}) {
    EXPECT_EQ(parse_range(field, 10), (RangeAnswer{Kind::whole, {0, 10}})) << field;
  }
}

}  // namespace
}  // namespace segue::fetch
