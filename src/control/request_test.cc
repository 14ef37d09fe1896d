// SPDX-License-Identifier: Apache-2.0
#include "control/request.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace segue::control {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;

TEST(Request, words_are_separated_by_nul) {
  const Request request{"upgrade", {{"budget-us", "500"}}, {"/bin/v2", "--port", "1"}};
  EXPECT_EQ(encode(request).value(), "segue/1\0upgrade\0budget-us=500\0--\0/bin/v2\0--port\0001"sv);
}

TEST(Request, comes_back_as_it_was_sent) {
  const std::vector<Request> requests = {
      {"status", {}, {}},
      {"undo", {{"probation-ms", "0"}}, {}},
      {"upgrade", {{"env", "A=b=c"}, {"env", "B="}}, {"/x", "", "--", "a=b", "line\nbreak"}},
  };
  for (const auto& request : requests) {
    EXPECT_EQ(decode(encode(request).value()).value(), request);
  }
}

TEST(Request, of_another_protocol_is_refused_by_name) {
  EXPECT_NE(decode("segue/2\0status"sv).error().message().find("segue/1"), std::string::npos);
  EXPECT_FALSE(decode(""));
  EXPECT_FALSE(decode("segue/1"));
}

TEST(Request, malformed_words_are_refused) {
  EXPECT_FALSE(decode("segue/1\0upgrade\0no-equals-sign"sv));
  EXPECT_FALSE(decode("segue/1\0upgrade\0=value"sv));
  EXPECT_FALSE(decode("segue/1\0upgrade\0--"sv));
}

TEST(Request, beyond_its_bounds_is_refused_on_both_sides) {
  EXPECT_FALSE(encode({"run", {}, {"/x", std::string(kMaxRequestBytes, 'a')}}));
  EXPECT_FALSE(encode({"run", {}, std::vector<std::string>(kMaxRequestWords, "a")}));
  EXPECT_FALSE(decode("segue/1\0run\0--\0"s + std::string(kMaxRequestWords, '\0')));
  EXPECT_FALSE(encode({"run", {}, {"a\0b"s}}));
}

TEST(Request, on_a_command_line_keys_may_have_dashes) {
  const auto request = parse_words("run", {"--start-ms=5", "cwd=/", "--", "/x", "--start-ms=6"});
  ASSERT_TRUE(request);
  EXPECT_EQ(*request, (Request{"run", {{"start-ms", "5"}, {"cwd", "/"}}, {"/x", "--start-ms=6"}}));
}

}  // namespace
}  // namespace segue::control
