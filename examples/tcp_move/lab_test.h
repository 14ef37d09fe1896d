// SPDX-License-Identifier: Apache-2.0
// What the tests of moving have in common.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "network_lab.h"
#include "os/clock.h"
#include "streams.h"

namespace segue::example {

inline constexpr base::Duration kDeadline = std::chrono::seconds(40);

// A lab per test, or a loud skip.
class LabTest : public testing::Test {
 protected:
  void SetUp() override {
    auto lab = NetworkLab::make();
    if (!lab && lab.error().code() == base::ErrorCode::permission_denied) {
      GTEST_SKIP() << "NOT TESTED: network namespaces need root: " << lab.error().to_string();
    }
    ASSERT_TRUE(lab) << lab.error().to_string();
    lab_ = std::make_unique<NetworkLab>(std::move(*lab));
  }

  ConnectedPair connect(Kind kind = Kind::ipv4) {
    auto pairs = lab_->connect(kind, 1);
    EXPECT_TRUE(pairs) << pairs.error().to_string();
    return std::move(pairs->front());
  }

  os::SystemClock clock_;
  std::unique_ptr<NetworkLab> lab_;
};

// Sends all of it, while the socket takes something within the deadline.
inline bool send_all(const os::Clock& clock, int fd, std::string_view bytes) {
  return wait_until(clock, kDeadline, [&] {
    const ssize_t taken = ::send(fd, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (taken > 0) bytes.remove_prefix(static_cast<std::size_t>(taken));
    return bytes.empty();
  });
}

// As many bytes as asked for, or fewer when the deadline has passed.
inline std::string receive_exactly(const os::Clock& clock, int fd, std::size_t size) {
  std::string bytes(size, '\0');
  std::size_t filled = 0;
  wait_until(clock, kDeadline, [&] {
    const ssize_t got = ::recv(fd, bytes.data() + filled, size - filled, MSG_DONTWAIT);
    if (got > 0) filled += static_cast<std::size_t>(got);
    return filled == size;
  });
  bytes.resize(filled);
  return bytes;
}

inline std::string numbered(std::uint64_t seed, std::size_t size) {
  std::string bytes(size, '\0');
  fill(seed, 0, bytes);
  return bytes;
}

}  // namespace segue::example
