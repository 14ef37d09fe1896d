// SPDX-License-Identifier: Apache-2.0
#include "os/unix_socket.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "os/process.h"
#include "os/temp_directory.h"

namespace segue::os {
namespace {

using namespace std::chrono_literals;
using base::ErrorCode;

constexpr std::size_t kMaxBytes = 1024;

UniqueFd accept_within_deadline(const UniqueFd& listener) {
  constexpr int kDeadlineMs = 20'000;
  pollfd waiting{.fd = listener.get(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&waiting, 1, kDeadlineMs), 1);
  auto accepted = accept_unix(listener);
  EXPECT_TRUE(accepted && accepted->has_value());
  return std::move(accepted->value());
}

class UnixSocketTest : public testing::TestWithParam<SocketType> {
 protected:
  std::pair<UniqueFd, UniqueFd> pair() { return socket_pair(GetParam(), Blocking::no).value(); }

  TempDirectory directory_;
  std::string path_ = directory_.path("run/control");
};
INSTANTIATE_TEST_SUITE_P(Types, UnixSocketTest,
                         testing::Values(SocketType::stream, SocketType::seqpacket),
                         [](const auto& type) {
                           return type.param == SocketType::stream ? "stream" : "seqpacket";
                         });

TEST_P(UnixSocketTest, connects_and_says_who_the_peer_is) {
  const auto listener = listen_unix(path_, GetParam());
  ASSERT_TRUE(listener) << listener.error().to_string();
  EXPECT_EQ(accept_unix(*listener).value().has_value(), false);
  const auto client = connect_unix(path_, GetParam(), Blocking::yes);
  ASSERT_TRUE(client) << client.error().to_string();
  const UniqueFd server = accept_within_deadline(*listener);

  const auto peer = peer_credentials(server);
  ASSERT_TRUE(peer);
  EXPECT_EQ(peer->pid, ::getpid());
  EXPECT_EQ(peer->uid, ::geteuid());
  EXPECT_EQ(::fcntl(server.get(), F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(::fcntl(client->get(), F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(::fcntl(listener->get(), F_GETFD), FD_CLOEXEC);
}

TEST_P(UnixSocketTest, carries_bytes_and_descriptors) {
  const auto [left, right] = pair();
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  const std::vector<int> fds{null.get(), null.get()};
  EXPECT_EQ(send_message(left, "hello", fds), 5U);

  const auto received = receive_message(right, kMaxBytes);
  ASSERT_TRUE(received) << received.error().to_string();
  EXPECT_EQ(received->kind, Received::Kind::message);
  EXPECT_EQ(received->bytes, "hello");
  ASSERT_EQ(received->fds.size(), 2U);
  struct stat sent{};
  struct stat arrived{};
  ASSERT_EQ(::fstat(null.get(), &sent), 0);
  ASSERT_EQ(::fstat(received->fds[1].get(), &arrived), 0);
  EXPECT_EQ(sent.st_rdev, arrived.st_rdev);
  EXPECT_EQ(::fcntl(received->fds[0].get(), F_GETFD), FD_CLOEXEC);
}

TEST_P(UnixSocketTest, carries_as_many_descriptors_as_the_system_allows_and_no_more) {
  const auto [left, right] = pair();
  std::vector<int> fds(kMaxFdsPerMessage, left.get());
  ASSERT_TRUE(send_message(left, "x", fds));
  EXPECT_EQ(receive_message(right, kMaxBytes)->fds.size(), kMaxFdsPerMessage);
  fds.push_back(left.get());
  EXPECT_EQ(send_message(left, "x", fds).error().code(), ErrorCode::invalid_argument);
}

TEST_P(UnixSocketTest, descriptors_that_do_not_fit_into_the_table_are_an_error) {
  const auto [left, right] = pair();
  const std::vector<int> fds(10, left.get());
  ASSERT_TRUE(send_message(left, "x", fds));
  const auto before = resource_limit(0, RLIMIT_NOFILE);
  ASSERT_TRUE(before);
  const auto next_free = static_cast<std::uint64_t>(UniqueFd(::dup(left.get())).get());
  ASSERT_TRUE(set_resource_limit(0, RLIMIT_NOFILE, {.soft = next_free + 3, .hard = before->hard}));
  const auto received = receive_message(right, kMaxBytes);
  ASSERT_TRUE(set_resource_limit(0, RLIMIT_NOFILE, *before));
  ASSERT_FALSE(received);
  EXPECT_EQ(received.error().code(), ErrorCode::data_loss);
  // Those that did arrive are closed: the number is free again.
  EXPECT_EQ(static_cast<std::uint64_t>(UniqueFd(::dup(left.get())).get()), next_free);
}

TEST_P(UnixSocketTest, tells_nothing_yet_from_nothing_more) {
  auto [left, right] = pair();
  EXPECT_EQ(receive_message(right, kMaxBytes)->kind, Received::Kind::would_block);
  left.reset();
  EXPECT_EQ(receive_message(right, kMaxBytes)->kind, Received::Kind::closed);
  EXPECT_EQ(send_message(right, "x").error().code(), ErrorCode::unavailable);
}

TEST_P(UnixSocketTest, says_when_the_peer_does_not_read) {
  const auto [left, right] = pair();
  const std::string block(1024, 'x');
  constexpr int kMaxBlocks = 100'000;
  int sent_blocks = 0;
  while (sent_blocks < kMaxBlocks && send_message(left, block).value() > 0) ++sent_blocks;
  EXPECT_GT(sent_blocks, 0);
  EXPECT_LT(sent_blocks, kMaxBlocks);
}

TEST_P(UnixSocketTest, a_blocking_receive_ends_at_its_timeout) {
  const auto pair = socket_pair(GetParam(), Blocking::yes);
  ASSERT_TRUE(pair);
  ASSERT_TRUE(set_timeout(pair->first, 1ms));
  EXPECT_EQ(receive_message(pair->first, kMaxBytes)->kind, Received::Kind::would_block);
}

TEST_P(UnixSocketTest, replaces_the_socket_of_a_dead_process_but_not_of_a_living_one) {
  auto first = listen_unix(path_, GetParam());
  ASSERT_TRUE(first);
  EXPECT_EQ(listen_unix(path_, GetParam()).error().code(), ErrorCode::already_exists);
  first->reset();
  EXPECT_EQ(connect_unix(path_, GetParam(), Blocking::no).error().code(), ErrorCode::unavailable);
  const auto second = listen_unix(path_, GetParam());
  ASSERT_TRUE(second) << second.error().to_string();
  EXPECT_TRUE(connect_unix(path_, GetParam(), Blocking::no));
}

TEST_P(UnixSocketTest, does_not_replace_what_is_not_a_socket) {
  std::filesystem::permissions(directory_.path(), std::filesystem::perms::owner_all);
  std::ofstream(directory_.path("file")) << "precious";
  EXPECT_EQ(listen_unix(directory_.path("file"), GetParam()).error().code(),
            ErrorCode::failed_precondition);
}

TEST_P(UnixSocketTest, refuses_to_listen_in_a_directory_that_others_can_enter) {
  std::filesystem::permissions(directory_.path(), std::filesystem::perms(0755));
  EXPECT_EQ(listen_unix(directory_.path("s"), GetParam()).error().code(),
            ErrorCode::failed_precondition);
}

TEST_P(UnixSocketTest, takes_a_path_of_107_bytes_and_explains_why_not_a_longer_one) {
  std::string path = directory_.path("");
  path.append(kMaxSocketPathBytes - path.size(), 'x');
  EXPECT_TRUE(listen_unix(path, GetParam()));
  const auto refused = connect_unix(path + "x", GetParam(), Blocking::no);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::invalid_argument);
  EXPECT_NE(refused.error().message().find("has 108 bytes"), std::string::npos);
}

TEST(SeqpacketSocket, keeps_messages_apart_and_refuses_one_that_is_too_long) {
  const auto [left, right] = socket_pair(SocketType::seqpacket, Blocking::no).value();
  ASSERT_TRUE(send_message(left, "one"));
  ASSERT_TRUE(send_message(left, "two"));
  EXPECT_EQ(receive_message(right, kMaxBytes)->bytes, "one");
  EXPECT_EQ(receive_message(right, 2).error().code(), ErrorCode::data_loss);
  ASSERT_TRUE(send_message(left, "abc"));
  EXPECT_EQ(receive_message(right, 3)->bytes, "abc");
}

}  // namespace
}  // namespace segue::os
