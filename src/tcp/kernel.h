// SPDX-License-Identifier: Apache-2.0
// What Debian 12's headers lack, and socket options with their error texts. Inside src/tcp only.
#pragma once

#include <sys/socket.h>

#include <cerrno>
#include <string_view>

#include "base/error.h"

namespace segue::tcp {

inline constexpr int kTcpRtoMaxMs = 44;   // TCP_RTO_MAX_MS, Linux 6.15
inline constexpr int kSoBufferLock = 72;  // SO_BUF_LOCK, Linux 5.14

// The values of TCP_REPAIR_QUEUE; the kernel keeps their names to itself.
enum class RepairQueue : int { none = 0, receive = 1, send = 2 };

template <class T>
base::Result<T> get_option(int fd, int level, int name, std::string_view label) {
  T value{};
  socklen_t size = sizeof value;
  if (::getsockopt(fd, level, name, &value, &size) == 0) return value;
  return fail(base::errno_error(label, errno));
}

template <class T>
base::Result<void> set_option(int fd, int level, int name, const T& value, std::string_view label) {
  if (::setsockopt(fd, level, name, &value, sizeof value) == 0) return {};
  return fail(base::errno_error(label, errno));
}

// permission_denied says which capability is missing.
base::Result<void> switch_repair(int fd, bool on);
base::Result<void> select_queue(int fd, RepairQueue queue);

// In bytes: all of the send queue, and its part that was never sent.
struct SendQueueSize {
  std::size_t all = 0;
  std::size_t unsent = 0;
};
base::Result<SendQueueSize> send_queue_size(int fd);

}  // namespace segue::tcp
