// SPDX-License-Identifier: Apache-2.0
#include "keeper/relay.h"

#include <gtest/gtest.h>

#include <string>

#include "os/clock.h"

namespace segue::keeper {
namespace {

class RelayTest : public testing::Test {
 protected:
  void SetUp() override {
    auto made = Relay::create(loop_);
    ASSERT_TRUE(made) << made.error().to_string();
    ends_ = *std::move(made);
  }
  void turn() { ASSERT_TRUE(loop_.run_once(std::chrono::milliseconds(100))); }
  static os::Received receive(const os::UniqueFd& fd) { return *os::receive_message(fd, 65'536); }

  os::SystemClock clock_;
  os::EpollLoop loop_ = *os::EpollLoop::create(clock_);
  Relay::Ends ends_;
};

TEST_F(RelayTest, carries_messages_and_their_descriptors_both_ways) {
  const auto pair = os::socket_pair(os::SocketType::stream, os::Blocking::no);
  const int fd = pair->first.get();
  ASSERT_TRUE(os::send_message(ends_.predecessor, "hello", std::span(&fd, 1)));
  ASSERT_TRUE(os::send_message(ends_.successor, std::string(65'536, 'x')));
  turn();
  const auto there = receive(ends_.successor);
  EXPECT_EQ(there.bytes, "hello");
  EXPECT_EQ(there.fds.size(), 1U);
  EXPECT_EQ(receive(ends_.predecessor).bytes.size(), 65'536U);
}

TEST_F(RelayTest, a_slow_reader_slows_the_writer_down_and_loses_nothing) {
  const std::string message(60'000, 'x');
  int sent = 0;
  bool full = false;
  for (int i = 0; i < 100 && !full; ++i) {  // until both sockets are full
    while (true) {
      const auto bytes = os::send_message(ends_.predecessor, std::to_string(sent) + " " + message);
      ASSERT_TRUE(bytes);
      if (*bytes == 0) break;
      ASSERT_LT(++sent, 10'000) << "the relay has no bound";
    }
    const int before = sent;
    ASSERT_TRUE(loop_.run_once(std::chrono::milliseconds(1)));
    const auto bytes = os::send_message(ends_.predecessor, std::to_string(sent) + " " + message);
    if (*bytes > 0) ++sent;
    full = sent == before;
  }
  ASSERT_TRUE(full);
  int received = 0;
  for (int turns = 0; turns < 10'000 && received < sent; ++turns) {
    const auto got = receive(ends_.successor);
    if (got.kind == os::Received::Kind::message) {
      EXPECT_EQ(std::stoi(got.bytes), received++);
    } else {
      turn();
    }
  }
  EXPECT_EQ(received, sent);
}

TEST_F(RelayTest, ends_both_sides_when_one_ends) {
  ends_.successor.reset();
  turn();
  EXPECT_TRUE(ends_.relay->ended());
  EXPECT_EQ(receive(ends_.predecessor).kind, os::Received::Kind::closed);
}

TEST_F(RelayTest, delivers_what_was_sent_before_the_end) {
  ASSERT_TRUE(os::send_message(ends_.predecessor, "last words"));
  ends_.predecessor.reset();
  turn();
  EXPECT_EQ(receive(ends_.successor).bytes, "last words");
  EXPECT_EQ(receive(ends_.successor).kind, os::Received::Kind::closed);
}

}  // namespace
}  // namespace segue::keeper
