// SPDX-License-Identifier: Apache-2.0
#include "os/notify_socket.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <string>

#include "os/temp_directory.h"
#include "os/unix_socket.h"

namespace segue::os {
namespace {

using base::ErrorCode;

constexpr std::size_t kMaxBytes = 1024;

// The manager's end, bound as systemd binds it.
UniqueFd manager_at(const std::string& address) {
  UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  address.copy(name.sun_path, address.size());
  if (address.starts_with('@')) name.sun_path[0] = '\0';
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<const sockaddr*>(&name),
                   static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address.size())),
            0);
  return fd;
}

TEST(NotifySocket, sends_text_and_descriptors_to_a_path) {
  const TempDirectory directory;
  const UniqueFd manager = manager_at(directory.path("notify"));
  const auto socket = NotifySocket::open(directory.path("notify"));
  ASSERT_TRUE(socket) << socket.error().to_string();
  const int out = STDOUT_FILENO;
  ASSERT_TRUE(socket->send("READY=1"));
  ASSERT_TRUE(socket->send("FDSTORE=1\nFDNAME=a", {&out, 1}));

  EXPECT_EQ(receive_message(manager, kMaxBytes).value().bytes, "READY=1");
  const auto second = receive_message(manager, kMaxBytes);
  ASSERT_TRUE(second);
  EXPECT_EQ(second->bytes, "FDSTORE=1\nFDNAME=a");
  EXPECT_EQ(second->fds.size(), 1U);
}

TEST(NotifySocket, sends_to_an_abstract_name) {
  const std::string address = "@segue-test-" + std::to_string(::getpid());
  const UniqueFd manager = manager_at(address);
  ASSERT_TRUE(NotifySocket::open(address).value().send("STOPPING=1"));
  EXPECT_EQ(receive_message(manager, kMaxBytes).value().bytes, "STOPPING=1");
}

TEST(NotifySocket, says_when_nobody_listens_and_does_not_wait_for_room) {
  const TempDirectory directory;
  const auto socket = NotifySocket::open(directory.path("notify")).value();
  EXPECT_EQ(socket.send("READY=1").error().code(), ErrorCode::unavailable);

  const UniqueFd manager = manager_at(directory.path("notify"));
  constexpr int kMoreThanFit = 100'000;
  int sent = 0;
  while (sent < kMoreThanFit && socket.send("WATCHDOG=1")) ++sent;
  EXPECT_LT(sent, kMoreThanFit);
  EXPECT_EQ(socket.send("WATCHDOG=1").error().code(), ErrorCode::unavailable);
}

TEST(NotifySocket, refuses_what_is_no_address) {
  for (const std::string address : {"", "relative", "vsock:2:1", "/", "@"}) {
    EXPECT_EQ(NotifySocket::open(address).error().code(), ErrorCode::invalid_argument) << address;
  }
  EXPECT_FALSE(NotifySocket::open("/" + std::string(kMaxSocketPathBytes, 'a')));
}

}  // namespace
}  // namespace segue::os
