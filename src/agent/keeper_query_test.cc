// SPDX-License-Identifier: Apache-2.0
#include "agent/keeper_query.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "control/request.h"
#include "os/temp_directory.h"
#include "os/unix_socket.h"

namespace segue::agent {
namespace {

using testing::HasSubstr;

constexpr int kDone = 0;
constexpr int kRefused = 4;
constexpr int kUnknown = 5;

class KeeperQueryTest : public testing::Test {
 protected:
  void listen() {
    listener_ = os::listen_unix(folder() + "/control.sock", os::SocketType::seqpacket).value();
  }
  std::string folder() { return directory_.path("kv"); }

  void ask(base::Duration limit = std::chrono::seconds(30)) {
    query_.emplace(loop_, clock_, directory_.path(), "kv", limit,
                   [&](const KeeperQuery::Answer& answer) { answer_ = answer; });
    query_->start();
  }
  // The keeper's end, with the request read.
  os::UniqueFd asked() {
    std::optional<os::UniqueFd> keeper;
    until([&] {
      if (!keeper) keeper = os::accept_unix(listener_).value();
      if (!keeper) return false;
      const auto received = os::receive_message(*keeper, control::kMaxRequestBytes);
      if (received->kind != os::Received::Kind::message) return false;
      EXPECT_EQ(control::decode(received->bytes)->command, "status");
      return true;
    });
    return *std::move(keeper);
  }
  const KeeperQuery::Answer& answer() {
    until([&] { return answer_.has_value(); });
    return *answer_;
  }
  void until(const std::function<bool()>& done) {
    const auto deadline = clock_.monotonic_now() + std::chrono::seconds(30);
    while (!done() && clock_.monotonic_now() < deadline) {
      EXPECT_TRUE(loop_.run_once(std::chrono::milliseconds(10)));
    }
  }

  os::TempDirectory directory_;
  os::SystemClock clock_;
  os::EpollLoop loop_ = *os::EpollLoop::create(clock_);
  os::UniqueFd listener_;
  std::optional<KeeperQuery> query_;
  std::optional<KeeperQuery::Answer> answer_;
};

TEST_F(KeeperQueryTest, hears_what_the_keeper_says_last) {
  listen();
  ask();
  const auto keeper = asked();
  ASSERT_TRUE(os::send_message(keeper, R"({"text":"wait"})"));
  const std::string last = R"({"done":true,"exit":0,"status":{"pid":7}})";
  ASSERT_TRUE(os::send_message(keeper, last));
  EXPECT_EQ(answer().exit_code, kDone);
  EXPECT_EQ(answer().line, last);
}

TEST_F(KeeperQueryTest, where_there_is_no_keeper_it_is_refused) {
  ask();
  EXPECT_EQ(answer().exit_code, kRefused);
}

TEST_F(KeeperQueryTest, a_dead_keepers_socket_is_refused) {
  listen();
  listener_.reset();
  ask();
  EXPECT_EQ(answer().exit_code, kRefused);
  EXPECT_THAT(answer().line, HasSubstr("nobody listens"));
}

TEST_F(KeeperQueryTest, a_folder_that_others_can_enter_is_refused) {
  listen();
  ASSERT_EQ(::chmod(folder().c_str(), 0755), 0);
  ask();
  EXPECT_EQ(answer().exit_code, kRefused);
  EXPECT_THAT(answer().line, HasSubstr("others can enter"));
}

TEST_F(KeeperQueryTest, a_keeper_that_ends_before_it_answers_leaves_it_unknown) {
  listen();
  ask();
  asked().reset();
  EXPECT_EQ(answer().exit_code, kUnknown);
}

TEST_F(KeeperQueryTest, a_keeper_that_says_nothing_is_not_waited_for_longer_than_the_limit) {
  listen();
  ask(std::chrono::milliseconds(50));
  EXPECT_EQ(answer().exit_code, kUnknown);
  EXPECT_THAT(answer().line, HasSubstr("says nothing"));
}

TEST_F(KeeperQueryTest, what_is_no_json_is_unknown) {
  listen();
  ask();
  const auto keeper = asked();
  ASSERT_TRUE(os::send_message(keeper, "moon"));
  EXPECT_EQ(answer().exit_code, kUnknown);
}

TEST_F(KeeperQueryTest, ends_quietly_when_nobody_waits_any_more) {
  listen();
  ask();
  const auto keeper = asked();
  query_.reset();
  ASSERT_FALSE(os::send_message(keeper, "late"));
  ASSERT_TRUE(loop_.run_once(std::chrono::milliseconds(10)));
  EXPECT_FALSE(answer_);
}

}  // namespace
}  // namespace segue::agent
