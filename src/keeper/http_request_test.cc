// SPDX-License-Identifier: Apache-2.0
#include "keeper/http_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace segue::keeper {
namespace {

using State = HttpRequest::State;
using testing::EndsWith;
using testing::HasSubstr;

const std::string kScrape =
    "GET /metrics?x=1 HTTP/1.1\r\nHost: localhost:9\r\nAccept: text/plain;q=0.5, */*\r\n\r\n";

TEST(HttpRequest, of_a_scrape_is_whole_with_its_last_byte_and_not_before) {
  for (std::size_t size = 0; size < kScrape.size(); ++size) {
    EXPECT_EQ(parse_http_request(std::string_view(kScrape).substr(0, size)).state,
              State::incomplete)
        << size;
  }
  const HttpRequest request = parse_http_request(kScrape);
  EXPECT_EQ(request.state, State::whole);
  EXPECT_TRUE(request.is_get);
  EXPECT_EQ(request.target, "/metrics");
  EXPECT_TRUE(parse_http_request("HEAD /x HTTP/1.0\r\n\r\n").is_head);
}

TEST(HttpRequest, that_is_anything_else_is_bad) {
  for (const char* text : {"\r\n", "GET\r\n", "GET /\r\n", "GET / HTTP/2\r\n", "GET x HTTP/1.1\r\n",
                           "GET /\x01 HTTP/1.1\r\n", "G@T / HTTP/1.1\r\n", "GET / HTTP/1.1\n",
                           "GET / HTTP/1.1\r\nno colon\r\n", "GET / HTTP/1.1\r\n: empty\r\n",
                           "GET / HTTP/1.1\r\na b: c\r\n", "GET / HTTP/1.1\r\nA: \x02\r\n",
                           "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n",
                           "GET / HTTP/1.1\r\nContent-Length: 1\r\n",
                           "GET / HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n"}) {
    EXPECT_EQ(parse_http_request(text).state, State::bad) << text;
  }
  EXPECT_EQ(parse_http_request("GET / HTTP/1.1\r\ncontent-length: 0 \r\n\r\n").state, State::whole);
}

TEST(HttpRequest, that_is_too_long_is_bad) {
  const std::string head = "GET / HTTP/1.1\r\nA: ";
  EXPECT_EQ(parse_http_request(head + std::string(kMaxHttpRequestBytes, 'x')).state, State::bad);
}

TEST(HttpResponse, names_its_length_and_closes) {
  const std::string answer = http_response(200, "text/plain", "abc", false);
  EXPECT_THAT(answer, HasSubstr("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(answer, HasSubstr("Content-Length: 3\r\n"));
  EXPECT_THAT(answer, EndsWith("\r\n\r\nabc"));
  EXPECT_THAT(http_response(404, "text/plain", "abc", true), EndsWith("\r\n\r\n"));
}

}  // namespace
}  // namespace segue::keeper
