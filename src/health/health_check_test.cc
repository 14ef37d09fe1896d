// SPDX-License-Identifier: Apache-2.0
#include "health/health_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <filesystem>
#include <thread>

#include "health/http_answer.h"
#include "os/clock.h"
#include "os/temp_directory.h"

namespace segue::health {
namespace {

using testing::HasSubstr;

class HealthCheckTest : public testing::Test {
 protected:
  HealthCheck::Result check(HealthCheck::Settings settings) {
    std::optional<HealthCheck::Result> result;
    settings.environment = {"PATH=/usr/bin:/bin", "COLOUR=red"};
    HealthCheck check(loop_, clock_, std::move(settings),
                      [&](const HealthCheck::Result& found) { result = found; });
    check.start();
    const auto until = clock_.monotonic_now() + std::chrono::seconds(20);
    while (!result && clock_.monotonic_now() < until) {
      EXPECT_TRUE(loop_.run_once(std::chrono::milliseconds(50)));
    }
    return result.value_or(HealthCheck::Result{false, "no answer"});
  }
  static HealthCheck::Settings command(std::string text) {
    HealthCheck::Settings options;
    options.command = std::move(text);
    return options;
  }

  os::SystemClock clock_;
  os::EpollLoop loop_ = *os::EpollLoop::create(clock_);
};

// A listener on a free port of 127.0.0.1.
struct Listener {
  os::UniqueFd fd{::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
  std::string address;
  Listener() {
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof any;
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&any), size), 0);
    EXPECT_EQ(::listen(fd.get(), 8), 0);
    ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&any), &size);
    address = "127.0.0.1:" + std::to_string(ntohs(any.sin_port));
  }
};

TEST_F(HealthCheckTest, a_command_is_good_when_it_exits_with_0) {
  EXPECT_TRUE(check(command("test $COLOUR = red")).good);
  const auto bad = check(command("exit 3"));
  EXPECT_FALSE(bad.good);
  EXPECT_EQ(bad.text, "'exit 3' exited with 3");
}

TEST_F(HealthCheckTest, a_command_past_its_limit_is_killed_with_what_it_started) {
  const os::TempDirectory directory;
  auto options = command("sleep 3 && touch " + directory.path("late") + " & wait");
  options.limit = std::chrono::milliseconds(100);
  const auto result = check(options);
  EXPECT_FALSE(result.good);
  EXPECT_THAT(result.text, HasSubstr("did not end within 0.10 s"));
}

TEST_F(HealthCheckTest, a_port_that_accepts_is_good) {
  const Listener listener;
  HealthCheck::Settings options;
  options.tcp = listener.address;
  EXPECT_TRUE(check(options).good);
}

TEST_F(HealthCheckTest, a_port_where_nobody_listens_is_bad) {
  HealthCheck::Settings options;
  {
    const Listener listener;
    options.tcp = listener.address;
  }
  const auto result = check(options);
  EXPECT_FALSE(result.good);
  EXPECT_THAT(result.text, HasSubstr("Connection refused"));
}

TEST_F(HealthCheckTest, both_have_to_be_good) {
  const Listener listener;
  auto options = command("true");
  options.tcp = listener.address;
  EXPECT_TRUE(check(options).good);
  options.command = "false";
  EXPECT_FALSE(check(options).good);
}

TEST_F(HealthCheckTest, names_are_not_looked_up) {
  HealthCheck::Settings options;
  options.tcp = "example.invalid:80";
  EXPECT_THAT(check(options).text, HasSubstr("is not an IP address"));
}

TEST_F(HealthCheckTest, one_that_is_given_up_ends_its_command) {
  auto check = std::make_unique<HealthCheck>(loop_, clock_, command("sleep 60"),
                                             [](const HealthCheck::Result&) { FAIL(); });
  check->start();
  check.reset();
  EXPECT_TRUE(loop_.run_once(std::chrono::milliseconds(10)));
}

// Answers the first client with `answer` and goes away.
struct HttpServer {
  explicit HttpServer(std::string answer)
      : thread([this, text = std::move(answer)] {
          const os::UniqueFd client(::accept(listener.fd.get(), nullptr, nullptr));
          std::array<char, 1'024> request;
          request_bytes = ::recv(client.get(), request.data(), request.size(), 0);
          (void)::send(client.get(), text.data(), text.size(), MSG_NOSIGNAL);
        }) {}
  ~HttpServer() { thread.join(); }
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  Listener listener;
  ssize_t request_bytes = 0;
  std::thread thread;
};

TEST_F(HealthCheckTest, an_answer_of_http_with_2xx_or_3xx_is_good) {
  for (const auto& [answer, good] : {std::pair("HTTP/1.1 200 OK\r\n\r\n", true),
                                     {"HTTP/1.0 302 Found\r\n\r\n", true},
                                     {"HTTP/1.1 204\r\n\r\n", true},
                                     {"HTTP/1.1 503 Busy\r\n\r\n", false},
                                     {"HTTP/1.1 404 No\r\n\r\n", false},
                                     {"SSH-2.0-OpenSSH\r\n", false},
                                     {"HTTP/1.1 2", false},
                                     {"", false}}) {
    const HttpServer server(answer);
    HealthCheck::Settings settings;
    settings.http = "http://" + server.listener.address + "/health?deep=1";
    const auto result = check(settings);
    EXPECT_EQ(result.good, good) << answer << ": " << result.text;
  }
}

TEST_F(HealthCheckTest, http_that_is_silent_is_bad_at_the_limit) {
  const Listener listener;
  HealthCheck::Settings settings;
  settings.http = "http://" + listener.address;
  settings.limit = std::chrono::milliseconds(100);
  EXPECT_THAT(check(settings).text, HasSubstr("did not answer within 0.10 s"));
}

TEST(HttpTarget, is_an_address_a_port_and_a_path) {
  const auto target = parse_http_target("http://127.0.0.1:8080/health?x=1");
  ASSERT_TRUE(target);
  EXPECT_EQ(target->address, "127.0.0.1:8080");
  EXPECT_EQ(target->path, "/health?x=1");
  EXPECT_EQ(parse_http_target("http://[::1]")->address, "[::1]:80");
  for (const std::string url : {"", "https://127.0.0.1/", "http://", "http://127.0.0.1:x/",
                                "http://127.0.0.1/a b", "http://127.0.0.1/\r\nX: 1"}) {
    EXPECT_FALSE(parse_http_target(url)) << url;
  }
}

}  // namespace
}  // namespace segue::health
