// SPDX-License-Identifier: Apache-2.0
#include "parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

namespace respkv {
namespace {

using Status = RequestParser::Status;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::vector<std::string_view> arguments_of(const RequestParser& parser, std::string_view input) {
  std::vector<std::string_view> arguments;
  parser.arguments(input, arguments);
  return arguments;
}

TEST(RequestParser, reads_an_array_of_bulk_strings) {
  const std::string request = "*2\r\n$4\r\nECHO\r\n$4\r\na\r\nb\r\n";
  const std::string input = request + "the next one";
  RequestParser parser;
  ASSERT_EQ(parser.parse(input), Status::complete);
  EXPECT_THAT(arguments_of(parser, input), ElementsAre("ECHO", "a\r\nb"));
  EXPECT_EQ(parser.size(), request.size());
}

TEST(RequestParser, goes_on_where_the_input_ended) {
  const std::string request = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$10\r\n0123456789\r\n";
  RequestParser parser;
  for (std::size_t size = 0; size < request.size(); ++size) {
    ASSERT_EQ(parser.parse(std::string_view(request).substr(0, size)), Status::incomplete) << size;
  }
  ASSERT_EQ(parser.parse(request), Status::complete);
  EXPECT_THAT(arguments_of(parser, request), ElementsAre("SET", "k", "0123456789"));
}

TEST(RequestParser, says_how_much_input_an_argument_needs) {
  RequestParser parser;
  EXPECT_EQ(parser.parse("*1\r\n$1000\r\n"), Status::incomplete);
  EXPECT_EQ(parser.wanted(), std::string_view("*1\r\n$1000\r\n").size() + 1002);
}

TEST(RequestParser, reads_inline_commands_with_quotes) {
  const std::string_view input = "SET  'it\\'s' \"a\\x41\\n\" plain\r\nPING\n";
  RequestParser parser;
  ASSERT_EQ(parser.parse(input), Status::complete);
  EXPECT_THAT(arguments_of(parser, input), ElementsAre("SET", "it's", "aA\n", "plain"));
  const std::string_view rest = input.substr(parser.size());
  parser.reset();
  ASSERT_EQ(parser.parse(rest), Status::complete);
  EXPECT_THAT(arguments_of(parser, rest), ElementsAre("PING"));
}

TEST(RequestParser, empty_requests_have_no_arguments) {
  for (const std::string_view input : {"\r\n", "*0\r\n", "*-1\r\n", "   \n"}) {
    RequestParser parser;
    ASSERT_EQ(parser.parse(input), Status::complete);
    EXPECT_THAT(arguments_of(parser, input), IsEmpty());
    EXPECT_EQ(parser.size(), input.size());
  }
}

TEST(RequestParser, refuses_what_is_malformed_or_beyond_the_bounds) {
  const std::string long_line(kMaxInlineBytes + 1, 'x');
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"*1048577\r\n", "invalid multibulk length"},
      {"*99999999999999999999\r\n", "invalid multibulk length"},
      {"*+1\r\n", "invalid multibulk length"},
      {"*1\r\n:1\r\n", "expected '$', got ':'"},
      {"*1\r\n$-1\r\n", "invalid bulk length"},
      {"*1\r\n$536870913\r\n", "invalid bulk length"},
      {"SET \"a\r\n", "unbalanced quotes"},
      {"SET \"a\"b\r\n", "unbalanced quotes"},
      {long_line, "too big inline request"},
      {"*" + long_line, "too big mbulk count string"},
      {"*1\r\n$" + long_line, "too big bulk count string"},
  };
  for (const auto& [input, error] : cases) {
    RequestParser parser;
    EXPECT_EQ(parser.parse(input), Status::malformed) << error;
    EXPECT_THAT(parser.error(), HasSubstr(error));
  }
}

TEST(AppendRequest, is_read_back) {
  std::string text;
  append_request(text, {"SET", "", "a\r\n"});
  RequestParser parser;
  ASSERT_EQ(parser.parse(text), Status::complete);
  EXPECT_EQ(parser.size(), text.size());
  EXPECT_THAT(arguments_of(parser, text), ElementsAre("SET", "", "a\r\n"));
}

}  // namespace
}  // namespace respkv
