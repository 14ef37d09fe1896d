// SPDX-License-Identifier: Apache-2.0
#include "load/wire.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

namespace segue::load {
namespace {

std::string written(Protocol protocol, const Request& request) {
  std::array<char, kMaxRequestBytes> buffer{};
  return {buffer.data(), write_request(protocol, request, buffer)};
}

TEST(RespAnswer, simple_error_integer_bulk_and_nil) {
  EXPECT_EQ(parse_answer(Protocol::resp, "+OK\r\n").text, "OK");
  EXPECT_EQ(parse_answer(Protocol::resp, ":42\r\n").text, "42");
  EXPECT_TRUE(parse_answer(Protocol::resp, "-ERR no\r\n").is_error);
  EXPECT_EQ(parse_answer(Protocol::resp, "$5\r\na\r\nbc\r\n+").text, "a\r\nbc");
  EXPECT_EQ(parse_answer(Protocol::resp, "$0\r\n\r\n").size_bytes, 6U);
  EXPECT_TRUE(parse_answer(Protocol::resp, "$-1\r\n").is_nil);
}

TEST(RespAnswer, every_prefix_of_an_answer_is_incomplete) {
  const std::string whole = "$11\r\nhello world\r\n";
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(parse_answer(Protocol::resp, whole.substr(0, size)).status, ParseStatus::incomplete);
  }
  EXPECT_EQ(parse_answer(Protocol::resp, whole).size_bytes, whole.size());
}

TEST(RespAnswer, what_is_not_resp_is_malformed) {
  for (const char* text : {"x\r\n", "$-2\r\n", "$99999999\r\n", "$x\r\n", "$2\r\nabcd"}) {
    EXPECT_EQ(parse_answer(Protocol::resp, text).status, ParseStatus::malformed) << text;
  }
  const std::string endless(kMaxAnswerBytes + 1, '+');
  EXPECT_EQ(parse_answer(Protocol::resp, endless).status, ParseStatus::malformed);
}

TEST(HttpAnswer, needs_head_and_body) {
  const std::string whole = "HTTP/1.1 200 OK\r\nX-Version: 2\r\nContent-length:  3 \r\n\r\nok\n";
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_EQ(parse_answer(Protocol::http, whole.substr(0, size)).status, ParseStatus::incomplete);
  }
  const Answer answer = parse_answer(Protocol::http, whole + "HTTP/1.1");
  EXPECT_EQ(answer.size_bytes, whole.size());
  EXPECT_FALSE(answer.is_error);
  EXPECT_FALSE(answer.closes);
  EXPECT_NE(answer.text.find("X-Version: 2"), std::string::npos);
}

TEST(HttpAnswer, tells_errors_and_announced_closes) {
  EXPECT_TRUE(
      parse_answer(Protocol::http, "HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n").is_error);
  EXPECT_TRUE(parse_answer(Protocol::http,
                           "HTTP/1.1 200 OK\r\nconnection: Close\r\ncontent-length: 0\r\n\r\n")
                  .closes);
  EXPECT_EQ(parse_answer(Protocol::http, "HTTP/1.1 200 OK\r\n\r\n").status, ParseStatus::malformed);
}

TEST(EchoAnswer, is_a_line_with_or_without_a_version_before_it) {
  const Request request{.kind = RequestKind::ping, .key = 7, .sequence = 12};
  EXPECT_EQ(written(Protocol::echo, request), "7:12\n");
  EXPECT_TRUE(answer_fits(Protocol::echo, request, parse_answer(Protocol::echo, "7:12\n")));
  EXPECT_TRUE(answer_fits(Protocol::echo, request, parse_answer(Protocol::echo, "v2 7:12\n")));
  EXPECT_FALSE(answer_fits(Protocol::echo, request, parse_answer(Protocol::echo, "7:13\n")));
  EXPECT_FALSE(answer_fits(Protocol::echo, request, parse_answer(Protocol::echo, "17:12\n")));
}

TEST(RespRequest, is_written_as_an_array_of_bulk_strings) {
  EXPECT_EQ(written(Protocol::resp, {.kind = RequestKind::set, .key = 3, .sequence = 10}),
            "*3\r\n$3\r\nSET\r\n$7\r\nbench:3\r\n$4\r\n3:10\r\n");
  EXPECT_EQ(written(Protocol::resp, {.kind = RequestKind::get, .key = 3}),
            "*2\r\n$3\r\nGET\r\n$7\r\nbench:3\r\n");
  EXPECT_EQ(written(Protocol::resp, {.kind = RequestKind::ping, .key = 3, .sequence = 1}),
            "*2\r\n$4\r\nPING\r\n$3\r\n3:1\r\n");
}

TEST(RespRequest, command_of_several_words) {
  std::array<char, 64> buffer{};
  const std::size_t size = write_command("CLIENT  INFO", buffer);
  EXPECT_EQ(std::string(buffer.data(), size), "*2\r\n$6\r\nCLIENT\r\n$4\r\nINFO\r\n");
  EXPECT_EQ(write_command(std::string(100, 'x'), buffer), 0U);
  EXPECT_EQ(write_command("", buffer), 0U);
}

TEST(RespCheck, only_the_exact_value_fits) {
  const auto fits = [](const Request& request, const char* bytes) {
    return answer_fits(Protocol::resp, request, parse_answer(Protocol::resp, bytes));
  };
  const Request get{.kind = RequestKind::get, .key = 4, .sequence = 9};
  EXPECT_TRUE(fits(get, "$3\r\n4:9\r\n"));
  EXPECT_FALSE(fits(get, "$3\r\n4:8\r\n"));
  EXPECT_FALSE(fits(get, "$3\r\n5:9\r\n"));
  EXPECT_FALSE(fits(get, "$-1\r\n"));
  EXPECT_TRUE(fits({.kind = RequestKind::get, .key = 4, .sequence = 0}, "$-1\r\n"));
  EXPECT_FALSE(fits({.kind = RequestKind::set, .key = 4, .sequence = 9}, "-READONLY\r\n"));
  EXPECT_TRUE(fits({.kind = RequestKind::probe}, "$2\r\nv2\r\n"));
}

TEST(Value, tells_its_key_and_sequence) {
  std::array<char, 32> buffer{};
  EXPECT_EQ(sequence_in(12, write_value(12, 345, buffer)), 345U);
  EXPECT_EQ(sequence_in(13, write_value(12, 345, buffer)), std::nullopt);
  EXPECT_EQ(sequence_in(12, "12"), std::nullopt);
  EXPECT_EQ(sequence_in(12, "12:"), std::nullopt);
}

}  // namespace
}  // namespace segue::load
