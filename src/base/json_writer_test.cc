// SPDX-License-Identifier: Apache-2.0
#include "base/json_writer.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

namespace segue::base {
namespace {

std::string quoted(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

TEST(JsonWriter, nests_objects_and_arrays) {
  JsonWriter json;
  json.begin_object()
      .field("name", "web")
      .field("ok", true)
      .key("list")
      .begin_array()
      .value(1)
      .begin_array()
      .end()
      .begin_object()
      .end()
      .null()
      .end()
      .end();
  EXPECT_EQ(std::move(json).take(), R"({"name":"web","ok":true,"list":[1,[],{},null]})");
}

TEST(JsonWriter, writes_numbers_whole_and_shortest) {
  JsonWriter json;
  json.begin_array()
      .value(std::numeric_limits<std::int64_t>::min())
      .value(std::numeric_limits<std::uint64_t>::max())
      .value(0.1)
      .value(1e300)
      .value(std::numeric_limits<double>::infinity())
      .value(std::numeric_limits<double>::quiet_NaN())
      .end();
  EXPECT_EQ(std::move(json).take(),
            "[-9223372036854775808,18446744073709551615,0.1,1e+300,null,null]");
}

TEST(JsonWriter, escapes_quotes_backslashes_and_control_characters) {
  EXPECT_EQ(quoted("a\"b\\c\n\t\x01\x7F/"), R"("a\"b\\c\n\t\u0001\u007f/")");
  EXPECT_EQ(quoted(std::string_view("\0", 1)), R"("\u0000")");
}

TEST(JsonWriter, keeps_utf8_and_replaces_what_is_not) {
  EXPECT_EQ(quoted("ä€😀"), "\"ä€😀\"");
  constexpr std::string_view kReplacement = "\xEF\xBF\xBD";
  const auto replaced = [&](int times) {
    std::string text = "\"";
    for (int i = 0; i < times; ++i) text += kReplacement;
    return text + "\"";
  };
  EXPECT_EQ(quoted("\xFF"), replaced(1));
  EXPECT_EQ(quoted("\x80"), replaced(1));
  EXPECT_EQ(quoted("\xC0\xAF"), replaced(2));          // overlong '/'
  EXPECT_EQ(quoted("\xED\xA0\x80"), replaced(3));      // surrogate
  EXPECT_EQ(quoted("\xF4\x90\x80\x80"), replaced(4));  // above U+10FFFF
  EXPECT_EQ(quoted("\xE2\x82"), replaced(2));          // cut short
}

TEST(JsonWriterDeathTest, refuses_what_is_not_json) {
  EXPECT_DEATH(JsonWriter().begin_object().value(1), "broken invariant");
  EXPECT_DEATH(JsonWriter().begin_array().key("k"), "broken invariant");
  EXPECT_DEATH(JsonWriter().value(1).value(2), "broken invariant");
  EXPECT_DEATH(JsonWriter().begin_object().key("k").end(), "broken invariant");
  EXPECT_DEATH((void)std::move(JsonWriter().begin_array()).take(), "broken invariant");
}

}  // namespace
}  // namespace segue::base
