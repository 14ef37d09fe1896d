// SPDX-License-Identifier: Apache-2.0
#include "tuf/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace segue::tuf {
namespace {

using testing::HasSubstr;

std::string canonical(const std::string& text) {
  return canonical_json(parse_json(text).value()).value();
}

std::string refused(const std::string& text) {
  const auto result = parse_json(text);
  EXPECT_FALSE(result) << text;
  return result ? "" : result.error().message();
}

TEST(Json, canonical_form_sorts_and_leaves_white_space_out) {
  EXPECT_EQ(canonical(R"( { "b" : [ 1, -2, true, null ], "a" : { } , "B": [] } )"),
            R"({"B":[],"a":{},"b":[1,-2,true,null]})");
}

TEST(Json, canonical_form_escapes_two_characters_only) {
  EXPECT_EQ(canonical(R"(["\"\\\n\u00e9\u0000/\/"])"),
            std::string("[\"\\\"\\\\\n\xC3\xA9") + '\0' + "//\"]");
}

TEST(Json, names_are_sorted_by_their_bytes) {
  EXPECT_EQ(canonical(R"({"\uFF61":1,"\uD83D\uDE00":2,"z":3})"),
            "{\"z\":3,\"\xEF\xBD\xA1\":1,\"\xF0\x9F\x98\x80\":2}");
}

TEST(Json, refuses_what_could_be_read_in_two_ways) {
  EXPECT_THAT(refused(R"({"a":1,"b":{"c":1,"c":2}})"), HasSubstr("'c' stands twice"));
  EXPECT_THAT(refused("[1.5]"), HasSubstr("not an integer"));
  EXPECT_THAT(refused("[1e2]"), HasSubstr("not an integer"));
  EXPECT_THAT(refused("[18446744073709551616]"), HasSubstr("not an integer"));
  EXPECT_THAT(refused("[NaN]"), HasSubstr("not JSON"));
  EXPECT_THAT(refused("{} {}"), HasSubstr("not JSON"));
  EXPECT_THAT(refused("\xEF\xBB\xBF{}"), HasSubstr("byte order mark"));
  EXPECT_THAT(refused("[\"\xFF\"]"), HasSubstr("not JSON"));
  EXPECT_THAT(refused("[\"\xED\xA0\x80\"]"), HasSubstr("not JSON"));
  EXPECT_THAT(refused(R"(["\uD800"])"), HasSubstr("not JSON"));
  EXPECT_THAT(refused(""), HasSubstr("not JSON"));
}

TEST(Json, nests_only_so_deep) {
  const auto nested = [](std::size_t depth) {
    return std::string(depth, '[') + std::string(depth, ']');
  };
  EXPECT_TRUE(parse_json(nested(kMaxJsonDepth)));
  EXPECT_THAT(refused(nested(kMaxJsonDepth + 1)), HasSubstr("deeper than 32"));
  EXPECT_THAT(refused(std::string(1'000'000, '[')), HasSubstr("deeper"));
}

TEST(Json, what_has_no_canonical_form_is_an_error) {
  EXPECT_FALSE(canonical_json(Json(1.5)));
  EXPECT_FALSE(canonical_json(Json("\xC0\x80")));
  EXPECT_FALSE(canonical_json(Json({{"\xFF", 1}})));
}

}  // namespace
}  // namespace segue::tuf
