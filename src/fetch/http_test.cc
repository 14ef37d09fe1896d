// SPDX-License-Identifier: Apache-2.0
// Against a server of a few lines that answers as it is told, also as no server should.
#include "fetch/http.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <mutex>
#include <thread>

#include "os/files.h"
#include "os/temp_directory.h"
#include "os/unique_fd.h"

namespace segue::fetch {
namespace {

using base::ErrorCode;
using testing::HasSubstr;

enum class Then {
  close,
  hold,    // says no more, and waits for the client to go
  repeat,  // the last part again and again, until the client goes
};

struct Answer {
  std::string head;
  std::string part;  // of the body
  Then then = Then::close;
};

class Server {
 public:
  explicit Server(Answer answer) : answer_(std::move(answer)) {
    listener_ = os::UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(listener_.get(), generic, size), 0);
    EXPECT_EQ(::listen(listener_.get(), 4), 0);
    EXPECT_EQ(::getsockname(listener_.get(), generic, &size), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { serve(); });
  }
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;
  ~Server() {
    ::shutdown(listener_.get(), SHUT_RDWR);  // ends accept(2)
    thread_.join();
  }

  [[nodiscard]] std::string url() const { return fmt::format("http://127.0.0.1:{}/a%2Fb", port_); }
  std::string request() {
    const std::lock_guard lock(mutex_);
    return request_;
  }

 private:
  void serve() {
    while (true) {
      const os::UniqueFd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!client) return;
      answer(client.get());
    }
  }

  void answer(int client) {
    std::string request;
    std::array<char, 4096> room{};
    while (request.find("\r\n\r\n") == std::string::npos) {
      const ssize_t got = ::read(client, room.data(), room.size());
      if (got <= 0) return;
      request.append(room.data(), static_cast<std::size_t>(got));
    }
    {
      const std::lock_guard lock(mutex_);
      request_ = request;
    }
    if (!send(client, answer_.head) || !send(client, answer_.part)) return;
    while (answer_.then == Then::repeat && send(client, answer_.part)) {
    }
    while (answer_.then == Then::hold && ::read(client, room.data(), room.size()) > 0) {
    }
  }

  static bool send(int client, std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(client, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
    return true;
  }

  Answer answer_;
  os::UniqueFd listener_;
  std::uint16_t port_ = 0;
  std::mutex mutex_;
  std::string request_;
  std::thread thread_;
};

HttpRequest ask(const Server& server, std::uint64_t max_bytes = 100) {
  HttpRequest request{
      .url = server.url(), .limits = {.max_bytes = max_bytes}, .byte_count = {}, .fields = {}};
  request.limits.stall = std::chrono::seconds(1);
  return request;
}

constexpr const char* kEndless = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";

TEST(Http, brings_a_file_and_leaves_its_url_as_it_is) {
  Server server({"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "hello"});
  HttpClient client;
  EXPECT_EQ(client.get(ask(server)).value(), "hello");
  EXPECT_THAT(server.request(), HasSubstr("GET /a%2Fb HTTP/1.1\r\n"));
}

TEST(Http, says_that_a_file_is_not_there) {
  for (const int status : {403, 404, 410}) {
    Server server({fmt::format("HTTP/1.1 {} No\r\nContent-Length: 4\r\n\r\n", status), "page"});
    const auto missing = HttpClient().get(ask(server));
    ASSERT_FALSE(missing);
    EXPECT_EQ(missing.error().code(), ErrorCode::not_found) << status;
  }
}

TEST(Http, takes_no_other_status_for_a_file) {
  for (const char* status : {"500 Oh", "302 Found\r\nLocation: http://127.0.0.1:1/", "204 None"}) {
    Server server({fmt::format("HTTP/1.1 {}\r\nContent-Length: 0\r\n\r\n", status), ""});
    const auto refused = HttpClient().get(ask(server));
    ASSERT_FALSE(refused) << status;
    EXPECT_EQ(refused.error().code(), ErrorCode::unavailable) << status;
  }
}

TEST(Http, ends_what_would_never_end) {
  Server server({kEndless, std::string(10'000, 'x'), Then::repeat});
  const auto refused = HttpClient().get(ask(server, 1'000'000));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::resource_exhausted);
}

TEST(Http, ends_headers_that_would_never_end) {
  Server server({"HTTP/1.1 200 OK\r\n", "X-More: and more\r\n", Then::repeat});
  const auto refused = HttpClient().get(ask(server));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::resource_exhausted);
}

TEST(Http, gives_up_a_server_that_stalls) {
  Server server({kEndless, "first", Then::hold});
  const auto refused = HttpClient().get(ask(server));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::deadline_exceeded);
}

TEST(Http, gives_up_at_the_end_of_its_time) {
  Server server({kEndless, "", Then::hold});
  HttpRequest request = ask(server);
  request.limits.total = std::chrono::milliseconds(100);
  request.limits.stall = std::chrono::seconds(100);
  const auto refused = HttpClient().get(request);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::deadline_exceeded);
}

TEST(Http, a_body_that_is_cut_off_is_no_file) {
  Server server({"HTTP/1.1 200 OK\r\nContent-Length: 50\r\nConnection: close\r\n\r\n", "half"});
  const auto refused = HttpClient().get(ask(server));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::unavailable);
}

TEST(Http, goes_on_from_a_byte) {
  Server server(
      {"HTTP/1.1 206 Partial\r\nContent-Range: bytes 7-11/12\r\nContent-Length: 5\r\n\r\n",
       "later"});
  HttpRequest request = ask(server);
  request.first_byte = 7;
  EXPECT_EQ(HttpClient().get(request).value(), "later");
  EXPECT_THAT(server.request(), HasSubstr("Range: bytes=7-\r\n"));
}

TEST(Http, asks_for_a_part) {
  Server server(
      {"HTTP/1.1 206 Partial\r\nContent-Range: bytes 7-8/12\r\nContent-Length: 2\r\n\r\n", "la"});
  HttpRequest request = ask(server);
  request.first_byte = 7;
  request.byte_count = 2;
  EXPECT_EQ(HttpClient().get(request).value(), "la");
  EXPECT_THAT(server.request(), HasSubstr("Range: bytes=7-8\r\n"));
}

TEST(Http, takes_no_other_bytes_than_those_it_asked_for) {
  for (const char* head :
       {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 206 Partial\r\nContent-Range: bytes 0-4/12\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 206 Partial\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 416 Range\r\nContent-Length: 5\r\n\r\n"}) {
    Server server({head, "first"});
    HttpRequest request = ask(server);
    request.first_byte = 7;
    std::string taken;
    const auto refused =
        HttpClient().get(request, [&](std::string_view bytes) -> base::Result<void> {
          taken += bytes;
          return {};
        });
    ASSERT_FALSE(refused) << head;
    EXPECT_EQ(refused.error().code(), ErrorCode::failed_precondition) << head;
    EXPECT_EQ(taken, "");
  }
}

TEST(Http, an_error_of_the_sink_is_the_outcome) {
  Server server({"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "hello"});
  const auto refused = HttpClient().get(ask(server), [](std::string_view) -> base::Result<void> {
    return base::fail(ErrorCode::data_loss, "the digest is wrong");
  });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::data_loss);
}

TEST(Http, speaks_no_other_protocol) {
  for (const std::string url : {"ftp://127.0.0.1/x", "FILE:///etc/passwd", "gopher://127.0.0.1/"}) {
    const auto refused = HttpClient().get(
        HttpRequest{.url = url, .limits = {.max_bytes = 100'000}, .byte_count = {}, .fields = {}});
    ASSERT_FALSE(refused) << url;
    EXPECT_EQ(refused.error().code(), ErrorCode::invalid_argument) << url;
  }
}

TEST(Http, a_server_that_is_not_there_is_unavailable) {
  std::string url;
  {
    const Server server({"", ""});
    url = server.url();
  }
  const auto refused = HttpClient().get(
      HttpRequest{.url = url, .limits = {.max_bytes = 9}, .byte_count = {}, .fields = {}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::unavailable);
}

TEST(FileUrl, is_read_under_the_same_bounds) {
  const os::TempDirectory directory;
  ASSERT_TRUE(os::write_file_atomically(directory.path("f"), "0123456789"));
  HttpClient client;
  HttpRequest request{
      .url = "file://" + directory.path("f"), .limits = {}, .byte_count = {}, .fields = {}};
  request.limits.max_bytes = 10;
  EXPECT_EQ(client.get(request).value(), "0123456789");
  request.first_byte = 4;
  EXPECT_EQ(client.get(request).value(), "456789");
  request.byte_count = 2;
  EXPECT_EQ(client.get(request).value(), "45");
  request.byte_count.reset();
  request.limits.max_bytes = 5;
  EXPECT_EQ(client.get(request).error().code(), ErrorCode::resource_exhausted);
  request.first_byte = 11;
  EXPECT_EQ(client.get(request).error().code(), ErrorCode::failed_precondition);
  request.url += "x";
  EXPECT_EQ(client.get(request).error().code(), ErrorCode::not_found);
  request.url = "file://" + directory.path();
  EXPECT_EQ(client.get(request).error().code(), ErrorCode::not_found);
}

}  // namespace
}  // namespace segue::fetch
