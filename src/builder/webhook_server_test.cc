// SPDX-License-Identifier: Apache-2.0
#include "builder/webhook_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>

#include "builder/test_loop.h"

namespace segue::builder {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class WebhookServerTest : public testing::Test {
 protected:
  WebhookServerTest()
      : server_(here_.loop, here_.clock, [this](const WebhookRequest& request) {
          ++requests_;
          last_ = request.method + " " + request.target + " " + request.header("x-NAME") + " " +
                  request.body;
          return WebhookAnswer{202, "taken", {}};
        }) {
    port_ = *server_.listen("127.0.0.1:0");
  }

  os::UniqueFd connect() const {
    os::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{.sin_family = AF_INET, .sin_port = htons(port_)};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ::fcntl(fd.get(), F_SETFL, O_NONBLOCK);
    return fd;
  }

  // What comes until the server closes; `parts` are sent one after the other.
  std::string talk(const std::vector<std::string>& parts) {
    const auto fd = connect();
    std::string answer;
    bool closed = false;
    const auto read = [&] {
      std::array<char, 4'096> buffer{};
      ssize_t got = 0;
      while ((got = ::read(fd.get(), buffer.data(), buffer.size())) > 0) {
        answer.append(buffer.data(), static_cast<std::size_t>(got));
      }
      closed = got == 0 || errno != EAGAIN;
      return closed;
    };
    for (const auto& part : parts) {
      std::size_t sent = 0;
      EXPECT_TRUE(here_.run_until([&] {
        const ssize_t more = ::send(fd.get(), part.data() + sent, part.size() - sent, MSG_NOSIGNAL);
        if (more > 0) sent += static_cast<std::size_t>(more);
        return sent == part.size() || read();
      }));
    }
    EXPECT_TRUE(here_.run_until(read));
    return answer;
  }

  TestLoop here_;
  std::size_t requests_ = 0;
  std::string last_;
  WebhookServer server_;
  std::uint16_t port_ = 0;
};

TEST_F(WebhookServerTest, takes_a_request_however_it_comes_in_parts) {
  const std::string request =
      "POST /build/chat HTTP/1.1\r\nHost: x\r\nX-Name: value\r\nContent-Length: 5\r\n\r\nhello";
  for (std::size_t cut = 1; cut < request.size(); cut += 7) {
    EXPECT_THAT(talk({request.substr(0, cut), request.substr(cut)}),
                StartsWith("HTTP/1.1 202 Accepted\r\n"));
    EXPECT_EQ(last_, "POST /build/chat value hello") << cut;
  }
  EXPECT_THAT(
      talk({"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"}),
      HasSubstr("taken"));
  EXPECT_EQ(last_, "POST /  hello");
}

TEST_F(WebhookServerTest, refuses_what_is_malformed_or_too_long) {
  EXPECT_THAT(talk({"nonsense\r\n\r\n"}), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(talk({"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n"}),
              StartsWith("HTTP/1.1 413"));
  EXPECT_THAT(talk({"POST / HTTP/1.1\r\nX: " + std::string(100'000, 'x')}),
              StartsWith("HTTP/1.1 400"));
  EXPECT_EQ(requests_, 0U);
}

TEST_F(WebhookServerTest, bears_clients_that_go_and_too_many_of_them) {
  std::vector<os::UniqueFd> clients;
  for (std::size_t i = 0; i < WebhookServer::kMaxClients + 5; ++i) clients.push_back(connect());
  char byte = 0;
  EXPECT_TRUE(here_.run_until([&] { return ::read(clients.back().get(), &byte, 1) == 0; }));
  clients.clear();
  EXPECT_TRUE(here_.run_until([&] {
    return talk({"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n"}).find("202") != std::string::npos;
  }));
}

TEST_F(WebhookServerTest, listens_only_where_it_can) {
  WebhookServer other(here_.loop, here_.clock, [](const auto&) { return WebhookAnswer{}; });
  EXPECT_FALSE(other.listen("localhost:1"));
  EXPECT_FALSE(other.listen("127.0.0.1"));
  EXPECT_FALSE(other.listen("127.0.0.1:99999"));
  EXPECT_FALSE(other.listen("127.0.0.1:" + std::to_string(port_)));
  EXPECT_TRUE(other.listen("[::1]:0"));
}

}  // namespace
}  // namespace segue::builder
