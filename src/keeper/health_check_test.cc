// SPDX-License-Identifier: Apache-2.0
#include "keeper/health_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <filesystem>

#include "os/clock.h"
#include "os/temp_directory.h"

namespace segue::keeper {
namespace {

using testing::HasSubstr;

class HealthCheckTest : public testing::Test {
 protected:
  HealthCheck::Result check(const control::AttemptOptions& options) {
    std::optional<HealthCheck::Result> result;
    HealthCheck check(loop_, clock_, options, {"PATH=/usr/bin:/bin", "COLOUR=red"},
                      [&](const HealthCheck::Result& found) { result = found; });
    check.start();
    const auto until = clock_.monotonic_now() + std::chrono::seconds(20);
    while (!result && clock_.monotonic_now() < until) {
      EXPECT_TRUE(loop_.run_once(std::chrono::milliseconds(50)));
    }
    return result.value_or(HealthCheck::Result{false, "no answer"});
  }
  static control::AttemptOptions command(std::string text) {
    control::AttemptOptions options;
    options.health_cmd = std::move(text);
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
  options.health_timeout_ms = 100;
  const auto result = check(options);
  EXPECT_FALSE(result.good);
  EXPECT_THAT(result.text, HasSubstr("did not end within 0.10 s"));
}

TEST_F(HealthCheckTest, a_port_that_accepts_is_good) {
  const Listener listener;
  control::AttemptOptions options;
  options.health_tcp = listener.address;
  EXPECT_TRUE(check(options).good);
}

TEST_F(HealthCheckTest, a_port_where_nobody_listens_is_bad) {
  control::AttemptOptions options;
  {
    const Listener listener;
    options.health_tcp = listener.address;
  }
  const auto result = check(options);
  EXPECT_FALSE(result.good);
  EXPECT_THAT(result.text, HasSubstr("Connection refused"));
}

TEST_F(HealthCheckTest, both_have_to_be_good) {
  const Listener listener;
  auto options = command("true");
  options.health_tcp = listener.address;
  EXPECT_TRUE(check(options).good);
  options.health_cmd = "false";
  EXPECT_FALSE(check(options).good);
}

TEST_F(HealthCheckTest, names_are_not_looked_up) {
  control::AttemptOptions options;
  options.health_tcp = "example.invalid:80";
  EXPECT_THAT(check(options).text, HasSubstr("is not an IP address"));
}

TEST_F(HealthCheckTest, one_that_is_given_up_ends_its_command) {
  auto check =
      std::make_unique<HealthCheck>(loop_, clock_, command("sleep 60"), std::vector<std::string>{},
                                    [](const HealthCheck::Result&) { FAIL(); });
  check->start();
  check.reset();
  EXPECT_TRUE(loop_.run_once(std::chrono::milliseconds(10)));
}

}  // namespace
}  // namespace segue::keeper
