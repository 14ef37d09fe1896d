// SPDX-License-Identifier: Apache-2.0
#include "fetch/async_http.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <map>
#include <optional>

#include "os/unique_fd.h"

namespace segue::fetch {
namespace {

using namespace std::chrono_literals;
using base::ErrorCode;
using testing::HasSubstr;

// Reads whole requests and does with each what the test says; on the test's own loop.
class ScriptServer {
 public:
  // What to answer to the request of this number, from 1; empty: end the connection instead.
  using Script = std::function<std::string(int number, const std::string& request)>;

  ScriptServer(os::EpollLoop& loop, Script script)
      : loop_(loop), script_(std::move(script)), listener_(::socket(AF_INET, kType, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(listener_.get(), generic, length), 0);
    EXPECT_EQ(::listen(listener_.get(), 16), 0);
    EXPECT_EQ(::getsockname(listener_.get(), generic, &length), 0);
    port_ = ntohs(address.sin_port);
    EXPECT_TRUE(loop_.watch(listener_.get(), EPOLLIN, [this](std::uint32_t) { take(); }));
  }
  ScriptServer(const ScriptServer&) = delete;
  ScriptServer& operator=(const ScriptServer&) = delete;
  ~ScriptServer() {
    stop_listening();
    for (const auto& [fd, client] : clients_) loop_.unwatch(fd);
  }

  void stop_listening() {
    if (!listener_) return;
    loop_.unwatch(listener_.get());
    listener_.reset();
  }
  void end_all() {
    for (const auto& [fd, client] : clients_) loop_.unwatch(fd);
    clients_.clear();
  }
  void send_to_all(const std::string& bytes) const {
    for (const auto& [fd, client] : clients_) {
      EXPECT_EQ(::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL),
                static_cast<ssize_t>(bytes.size()));
    }
  }
  [[nodiscard]] std::string url() const { return fmt::format("http://127.0.0.1:{}/x", port_); }
  [[nodiscard]] int requests() const { return requests_; }
  [[nodiscard]] int connections() const { return connections_; }

 private:
  static constexpr int kType = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
  struct Client {
    os::UniqueFd fd;
    std::string bytes;
  };

  void take() {
    os::UniqueFd accepted(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!accepted) return;
    ++connections_;
    const int fd = accepted.get();
    clients_[fd].fd = std::move(accepted);
    EXPECT_TRUE(loop_.watch(fd, EPOLLIN, [this, fd](std::uint32_t) { read(fd); }));
  }

  void read(int fd) {
    std::array<char, 65536> buffer{};
    const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (got <= 0) return drop(fd);
    std::string& bytes = clients_[fd].bytes;
    bytes.append(buffer.data(), static_cast<std::size_t>(got));
    const std::size_t head = bytes.find("\r\n\r\n");
    const std::size_t length = bytes.find("Content-Length: ");
    if (head == std::string::npos || length == std::string::npos) return;
    if (bytes.size() < head + 4 + std::stoul(bytes.substr(length + 16))) return;
    const std::string answer = script_(++requests_, std::exchange(bytes, {}));
    if (answer.empty()) return drop(fd);
    EXPECT_EQ(::send(fd, answer.data(), answer.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(answer.size()));
  }

  void drop(int fd) {
    loop_.unwatch(fd);
    clients_.erase(fd);
  }

  os::EpollLoop& loop_;
  Script script_;
  os::UniqueFd listener_;
  int port_ = 0;
  int requests_ = 0;
  int connections_ = 0;
  std::map<int, Client> clients_;
};

std::string ok(const std::string& body) {
  return fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", body.size(), body);
}

class AsyncHttpTest : public testing::Test {
 protected:
  template <class Condition>
  [[nodiscard]] bool run_until(const Condition& condition) {
    const auto deadline = clock_.monotonic_now() + 60s;
    while (!condition()) {
      if (clock_.monotonic_now() > deadline) return false;
      EXPECT_TRUE(loop_.run_once(100ms));
    }
    return true;
  }
  HttpPostEnd post(HttpPost request) {
    std::optional<HttpPostEnd> ended;
    http_.post(std::move(request), [&](HttpPostEnd end) { ended = std::move(end); });
    EXPECT_FALSE(ended);
    EXPECT_TRUE(run_until([&] { return ended.has_value(); }));
    return *std::move(ended);
  }
  static HttpPost to(const std::string& url, std::string body = "hello") {
    HttpPost request;
    request.url = url;
    request.body = std::move(body);
    request.max_bytes = 1000;
    request.total = 60s;
    return request;
  }

  os::SystemClock clock_;
  os::EpollLoop loop_ = *os::EpollLoop::create(clock_);
  AsyncHttp http_{loop_, clock_};
};

TEST_F(AsyncHttpTest, sends_the_body_and_gives_the_answer_on_a_kept_connection) {
  std::string request;
  ScriptServer server(loop_, [&](int, const std::string& bytes) {
    request = bytes;
    return ok("world");
  });
  for (int i = 0; i < 3; ++i) {
    HttpPost one = to(server.url(), std::string(500, 'b'));
    one.fields = {"X-Extra: yes"};
    const HttpPostEnd end = post(one);
    ASSERT_TRUE(end.answer) << end.answer.error().to_string();
    EXPECT_EQ(end.answer->status, 200);
    EXPECT_EQ(end.answer->body, "world");
    EXPECT_TRUE(end.may_be_sent);
  }
  EXPECT_THAT(request, HasSubstr("X-Extra: yes"));
  EXPECT_TRUE(request.ends_with(std::string(500, 'b')));
  EXPECT_EQ(server.connections(), 1);
}

TEST_F(AsyncHttpTest, a_request_that_was_taken_and_not_answered_is_not_sent_again) {
  ScriptServer server(loop_, [](int number, const std::string&) {
    return number == 1 ? ok("first") : std::string();
  });
  EXPECT_TRUE(post(to(server.url())).answer);
  const HttpPostEnd end = post(to(server.url()));
  EXPECT_FALSE(end.answer);
  EXPECT_TRUE(end.may_be_sent);
  // Another connection may have been made; nothing went over it.
  EXPECT_TRUE(post(to(server.url(), "another")).may_be_sent);
  EXPECT_EQ(server.requests(), 3) << "it was sent again";
}

TEST_F(AsyncHttpTest, what_never_left_says_so) {
  std::string url;
  {
    const ScriptServer server(loop_, [](int, const std::string&) { return ok(""); });
    url = server.url();
  }
  const HttpPostEnd end = post(to(url));
  ASSERT_FALSE(end.answer);
  EXPECT_EQ(end.answer.error().code(), ErrorCode::unavailable);
  EXPECT_FALSE(end.may_be_sent);
}

TEST_F(AsyncHttpTest, a_kept_connection_that_was_ended_meanwhile_is_made_anew) {
  ScriptServer server(loop_, [](int, const std::string&) { return ok("yes"); });
  EXPECT_TRUE(post(to(server.url())).answer);
  server.end_all();
  const HttpPostEnd end = post(to(server.url()));
  EXPECT_TRUE(end.answer) << end.answer.error().to_string();
  EXPECT_EQ(server.connections(), 2);
}

TEST_F(AsyncHttpTest, silence_ends_with_the_time_limit) {
  // An answer that never becomes whole.
  ScriptServer server(loop_, [](int, const std::string&) {
    return std::string("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
  });
  HttpPost request = to(server.url());
  request.total = 100ms;
  const HttpPostEnd end = post(request);
  ASSERT_FALSE(end.answer);
  EXPECT_EQ(end.answer.error().code(), ErrorCode::deadline_exceeded);
}

TEST_F(AsyncHttpTest, an_answer_that_is_too_long_is_cut_off) {
  ScriptServer server(loop_, [](int, const std::string&) { return ok(std::string(1001, 'x')); });
  const HttpPostEnd end = post(to(server.url()));
  ASSERT_FALSE(end.answer);
  EXPECT_EQ(end.answer.error().code(), ErrorCode::resource_exhausted);
}

TEST_F(AsyncHttpTest, a_stream_comes_piece_by_piece_until_its_reader_has_enough) {
  ScriptServer server(loop_, [](int, const std::string&) {
    return std::string("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
  });
  std::string seen;
  std::optional<HttpPostEnd> ended;
  HttpPost request = to(server.url());
  request.total = 0s;
  http_.post(
      request, [&](HttpPostEnd end) { ended = std::move(end); },
      [&](std::string_view bytes) {
        seen += bytes;
        return seen.size() < 6;
      });
  ASSERT_TRUE(run_until([&] { return seen == "one"; }));
  EXPECT_FALSE(ended);
  server.send_to_all("3\r\ntwo\r\n");
  ASSERT_TRUE(run_until([&] { return ended.has_value(); }));
  EXPECT_EQ(seen, "onetwo");
  EXPECT_FALSE(ended->answer);
}

TEST_F(AsyncHttpTest, a_refusal_of_a_stream_is_an_answer_with_its_body) {
  ScriptServer server(loop_, [](int, const std::string&) {
    return std::string("HTTP/1.1 503 No\r\nContent-Length: 3\r\n\r\nwhy");
  });
  std::optional<HttpPostEnd> ended;
  http_.post(
      to(server.url()), [&](HttpPostEnd end) { ended = std::move(end); },
      [](std::string_view) {
        ADD_FAILURE() << "it is no stream";
        return true;
      });
  ASSERT_TRUE(run_until([&] { return ended.has_value(); }));
  ASSERT_TRUE(ended->answer);
  EXPECT_EQ(ended->answer->status, 503);
  EXPECT_EQ(ended->answer->body, "why");
}

TEST_F(AsyncHttpTest, what_is_cancelled_says_nothing) {
  int requests = 0;
  ScriptServer server(loop_, [&](int number, const std::string&) {
    requests = number;
    return std::string("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
  });
  const auto id =
      http_.post(to(server.url()), [](const HttpPostEnd&) { ADD_FAILURE() << "it was cancelled"; });
  ASSERT_TRUE(run_until([&] { return requests == 1; }));
  http_.cancel(id);
  http_.cancel(id);
  // Another is served after it.
  ScriptServer other(loop_, [](int, const std::string&) { return ok("yes"); });
  EXPECT_TRUE(post(to(other.url())).answer);
}

}  // namespace
}  // namespace segue::fetch
