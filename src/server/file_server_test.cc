// SPDX-License-Identifier: Apache-2.0
#include "server/file_server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <thread>

#include "fetch/http.h"
#include "os/temp_directory.h"
#include "os/unique_fd.h"

namespace segue::server {
namespace {

namespace fs = std::filesystem;

using base::ErrorCode;
using testing::HasSubstr;
using testing::StartsWith;

const std::string kObject = "objects/aa/" + std::string(64, 'a');
constexpr int kWait_ms = 30'000;

class RawClient {
 public:
  explicit RawClient(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  }
  void send(const std::string& text) const {
    EXPECT_EQ(::send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  // Until the server closes; fails the test if it does not.
  [[nodiscard]] std::string read_to_end() const {
    std::string text;
    std::array<char, 4096> piece{};
    while (true) {
      pollfd waiting{fd_.get(), POLLIN, 0};
      if (::poll(&waiting, 1, kWait_ms) != 1) {
        ADD_FAILURE() << "the server keeps the connection open";
        return text;
      }
      const ssize_t got = ::recv(fd_.get(), piece.data(), piece.size(), 0);
      if (got <= 0) return text;
      text.append(piece.data(), static_cast<std::size_t>(got));
    }
  }
  // Something came, within a moment or not at all.
  [[nodiscard]] bool has_answer(int wait_ms) const {
    pollfd waiting{fd_.get(), POLLIN, 0};
    return ::poll(&waiting, 1, wait_ms) == 1;
  }

 private:
  os::UniqueFd fd_;
};

class Server : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(directory_.path("metadata"));
    fs::create_directories(directory_.path("objects/aa"));
    fs::create_directories(directory_.path("pins"));
    write("metadata/timestamp.json", "{}");
    write("pins/plan", "secret");
    for (int i = 0; i < 100'000; ++i) object_ += fmt::format("{:05} ", i);
    write(kObject, object_);
    settings_.library = directory_.path();
    settings_.address = "127.0.0.1";
  }
  void TearDown() override { stop(); }

  void start() {
    auto opened = FileServer::open(settings_);
    ASSERT_TRUE(opened) << opened.error().to_string();
    server_ = *std::move(opened);
    thread_ = std::thread([this] { server_->run(false); });
  }
  void stop() {
    if (!thread_.joinable()) return;
    server_->stop();
    thread_.join();
  }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(directory_.path(name), std::ios::binary) << text;
  }
  [[nodiscard]] fetch::HttpRequest request(const std::string& name) const {
    fetch::HttpRequest wanted;
    wanted.url = fmt::format("http://127.0.0.1:{}/{}", server_->port(), name);
    wanted.limits.max_bytes = 1 << 20;
    return wanted;
  }
  [[nodiscard]] std::string ask(const std::string& text) const {
    const RawClient client(server_->port());
    client.send(text);
    return client.read_to_end();
  }

  os::TempDirectory directory_;
  std::string object_;
  ServerSettings settings_;
  std::unique_ptr<FileServer> server_;
  std::thread thread_;
};

TEST_F(Server, gives_metadata_and_objects_whole) {
  start();
  fetch::HttpClient client;
  EXPECT_EQ(client.get(request("metadata/timestamp.json")), "{}");
  EXPECT_EQ(client.get(request(kObject)), object_);
}

TEST_F(Server, goes_on_where_a_download_ended) {
  start();
  fetch::HttpClient client;
  fetch::HttpRequest rest = request(kObject);
  rest.first_byte = 123'457;
  EXPECT_EQ(client.get(rest), object_.substr(123'457));
  rest.byte_count = 100;
  EXPECT_EQ(client.get(rest), object_.substr(123'457, 100));
}

TEST_F(Server, gives_nothing_else_of_the_directory) {
  fs::create_symlink(directory_.path("pins/plan"), directory_.path("metadata/9.link.json"));
  start();
  fetch::HttpClient client;
  for (const std::string name : {"pins/plan", "metadata/", "metadata/../pins/plan", "lock",
                                 "metadata/9.link.json", "metadata/none.json", ""}) {
    const auto refused = client.get(request(name));
    ASSERT_FALSE(refused) << name;
    EXPECT_EQ(refused.error().code(), ErrorCode::not_found) << name;
  }
}

TEST_F(Server, says_how_long_an_answer_may_be_kept) {
  start();
  const std::string head = "HEAD /{} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
  const std::string object = ask(fmt::format(fmt::runtime(head), kObject));
  EXPECT_THAT(object, HasSubstr("immutable"));
  EXPECT_THAT(object, HasSubstr("Content-Length: 600000\r\n"));
  EXPECT_THAT(object, HasSubstr("Accept-Ranges: bytes"));
  EXPECT_THAT(ask(fmt::format(fmt::runtime(head), "metadata/timestamp.json")),
              HasSubstr("no-cache"));
  const std::string tag = fmt::format("\"{}\"", std::string(64, 'a'));
  EXPECT_THAT(object, HasSubstr(tag));
  EXPECT_THAT(ask(fmt::format("GET /{} HTTP/1.1\r\nHost: a\r\nIf-None-Match: {}\r\n"
                              "Connection: close\r\n\r\n",
                              kObject, tag)),
              StartsWith("HTTP/1.1 304"));
}

TEST_F(Server, refuses_what_it_does_not_understand) {
  start();
  EXPECT_THAT(ask("POST /metadata/timestamp.json HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
              StartsWith("HTTP/1.1 405"));
  EXPECT_THAT(ask("nonsense\r\n\r\n"), StartsWith("HTTP/1.1 400"));
  EXPECT_THAT(ask("GET / HTTP/1.1\r\nX: " + std::string(20'000, 'a') + "\r\n\r\n"),
              StartsWith("HTTP/1.1 4"));
  EXPECT_THAT(ask(fmt::format("GET /{} HTTP/1.1\r\nHost: a\r\nRange: bytes=600000-\r\n"
                              "Connection: close\r\n\r\n",
                              kObject)),
              StartsWith("HTTP/1.1 416"));
}

TEST_F(Server, cuts_off_who_sends_nothing) {
  settings_.idle = std::chrono::milliseconds(50);
  start();
  const RawClient silent(server_->port());
  EXPECT_EQ(silent.read_to_end(), "");
  const RawClient slow(server_->port());
  slow.send("GET /meta");
  EXPECT_EQ(slow.read_to_end(), "");
}

TEST_F(Server, cuts_off_who_takes_nothing) {
  std::string large = object_;
  while (large.size() < std::size_t{64} << 20) large += object_;  // more than sockets hold
  write(kObject, large);
  settings_.piece = std::chrono::milliseconds(50);
  settings_.max_connections = 1;
  start();
  const RawClient idle(server_->port());
  idle.send("GET /" + kObject + " HTTP/1.1\r\nHost: a\r\n\r\n");
  // There is room for one: the next is answered once the first is cut off.
  fetch::HttpClient client;
  EXPECT_EQ(client.get(request("metadata/timestamp.json")), "{}");
}

TEST_F(Server, takes_as_many_connections_as_it_was_told) {
  settings_.max_connections = 2;
  start();
  const std::string wanted = "GET /metadata/timestamp.json HTTP/1.1\r\nHost: a\r\n\r\n";
  auto first = std::make_unique<RawClient>(server_->port());
  const RawClient second(server_->port());
  const RawClient third(server_->port());
  first->send(wanted);
  EXPECT_TRUE(first->has_answer(kWait_ms));
  second.send(wanted);
  EXPECT_TRUE(second.has_answer(kWait_ms));
  third.send(wanted);
  EXPECT_FALSE(third.has_answer(0));
  first.reset();
  EXPECT_TRUE(third.has_answer(kWait_ms));
}

TEST_F(Server, counts_what_it_does) {
  start();
  fetch::HttpClient client;
  EXPECT_TRUE(client.get(request(kObject)));
  EXPECT_FALSE(client.get(request("metadata/none.json")));
  stop();
  const ServerFigures figures = server_->figures();
  EXPECT_EQ(figures.requests, 2U);
  EXPECT_EQ(figures.refused, 1U);
  EXPECT_EQ(figures.body_bytes, object_.size());
}

TEST_F(Server, without_a_library_or_a_port_does_not_start) {
  settings_.library = directory_.path("pins");
  EXPECT_EQ(FileServer::open(settings_).error().code(), ErrorCode::not_found);
  settings_.library = directory_.path();
  start();
  settings_.port = server_->port();
  EXPECT_EQ(FileServer::open(settings_).error().code(), ErrorCode::failed_precondition);
  settings_.address = "nowhere";
  EXPECT_EQ(FileServer::open(settings_).error().code(), ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace segue::server
