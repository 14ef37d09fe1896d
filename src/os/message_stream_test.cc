// SPDX-License-Identifier: Apache-2.0
#include "os/message_stream.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "os/unix_socket.h"

namespace segue::os {
namespace {

using base::ErrorCode;

class MessageStreamTest : public testing::Test {
 protected:
  MessageStreamTest() {
    auto pair = socket_pair(SocketType::stream, Blocking::no).value();
    left_ = open(std::move(pair.first), got_left_, end_left_);
    right_fd_ = std::move(pair.second);
  }

  std::unique_ptr<MessageStream> open(UniqueFd socket, std::vector<std::string>& got,
                                      std::optional<ErrorCode>& end) {
    return MessageStream::open(
               loop_, std::move(socket),
               {.received = [&got](std::string_view message) { got.emplace_back(message); },
                .ended = [&end](const base::Error& why) { end = why.code(); }})
        .value();
  }
  void open_right() { right_ = open(std::move(right_fd_), got_right_, end_right_); }
  template <class Condition>
  void turn_until(Condition condition) {
    for (int turns = 0; turns < 10'000 && !condition(); ++turns) {
      ASSERT_TRUE(loop_.run_once(std::chrono::milliseconds(100)));
    }
    ASSERT_TRUE(condition());
  }

  const SystemClock clock_;
  EpollLoop loop_ = EpollLoop::create(clock_).value();
  std::vector<std::string> got_left_;
  std::vector<std::string> got_right_;
  std::optional<ErrorCode> end_left_;
  std::optional<ErrorCode> end_right_;
  std::unique_ptr<MessageStream> left_;
  std::unique_ptr<MessageStream> right_;
  UniqueFd right_fd_;
};

TEST_F(MessageStreamTest, MessagesArriveWholeAndInTheirOrder) {
  open_right();
  const std::vector<std::string> messages{"a", std::string(300'000, 'b'), "c",
                                          std::string(MessageStream::kMaxMessageBytes, 'd')};
  for (const auto& message : messages) ASSERT_TRUE(left_->send(message));
  ASSERT_TRUE(right_->send("back"));
  turn_until([&] { return got_right_.size() == messages.size() && got_left_.size() == 1; });
  EXPECT_EQ(got_right_, messages);
  EXPECT_EQ(got_left_[0], "back");
}

TEST_F(MessageStreamTest, WhatWaitsIsBounded) {
  const std::string message(MessageStream::kMaxMessageBytes, 'x');
  base::Result<void> sent;
  int count = 0;
  while ((sent = left_->send(message)) && count < 1000) ++count;
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code(), ErrorCode::resource_exhausted);
  EXPECT_EQ(count, 63);  // each has a head
  EXPECT_EQ(left_->send("").error().code(), ErrorCode::invalid_argument);
  EXPECT_EQ(left_->send(message + "x").error().code(), ErrorCode::invalid_argument);
}

TEST_F(MessageStreamTest, WhatWasSentBeforeTheEndArrives) {
  open_right();
  ASSERT_TRUE(right_->send("last"));
  turn_until([&] { return got_left_.size() == 1; });
  right_.reset();
  turn_until([&] { return end_left_.has_value(); });
  EXPECT_EQ(end_left_, ErrorCode::unavailable);
  EXPECT_EQ(left_->send("x").error().code(), ErrorCode::unavailable);
}

TEST_F(MessageStreamTest, BytesThatAreNoMessageEndIt) {
  ASSERT_TRUE(send_message(right_fd_, std::string("\xFF\xFF\xFF\xFF", 4)));
  turn_until([&] { return end_left_.has_value(); });
  EXPECT_EQ(end_left_, ErrorCode::data_loss);
  EXPECT_TRUE(got_left_.empty());
}

TEST_F(MessageStreamTest, APartOfAMessageIsNone) {
  ASSERT_TRUE(send_message(right_fd_, std::string("\0\0\0\5abc", 7)));
  right_fd_.reset();
  turn_until([&] { return end_left_.has_value(); });
  EXPECT_EQ(end_left_, ErrorCode::unavailable);
  EXPECT_TRUE(got_left_.empty());
}

}  // namespace
}  // namespace segue::os
