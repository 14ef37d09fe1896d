// SPDX-License-Identifier: Apache-2.0
#include "kernel_totals.h"

#include <linux/sockios.h>
#include <linux/tcp.h>  // the C library's tcp_info ends before what is needed here
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstddef>

namespace respkv {
namespace {

// Linux' states in which the peer's end of stream has arrived; the kernel counts it as one byte.
constexpr unsigned kCloseWait = 8;
constexpr unsigned kLastAck = 9;
constexpr unsigned kClosing = 11;
constexpr unsigned kClosed = 7;

bool unread_bytes(int fd, int& count) {
  return ioctl(fd, SIOCINQ, &count) == 0;
}

}  // namespace

std::optional<KernelTotals> kernel_totals(int fd) {
  constexpr int kTries = 10;
  constexpr std::size_t kNeeded = offsetof(tcp_info, tcpi_bytes_retrans) + sizeof(std::uint64_t);
  for (int i = 0; i < kTries; ++i) {
    int before = 0;
    int after = 0;
    tcp_info info{};
    socklen_t size = sizeof info;
    if (!unread_bytes(fd, before) || getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 ||
        size < kNeeded || !unread_bytes(fd, after) || info.tcpi_state == kClosed) {
      return std::nullopt;
    }
    if (before != after) continue;  // bytes arrived in between
    const bool ended =
        info.tcpi_state == kCloseWait || info.tcpi_state == kLastAck || info.tcpi_state == kClosing;
    const std::uint64_t arrived = info.tcpi_bytes_received - (ended ? 1 : 0);
    return KernelTotals{arrived - static_cast<std::uint64_t>(before),
                        info.tcpi_bytes_sent - info.tcpi_bytes_retrans + info.tcpi_notsent_bytes};
  }
  return std::nullopt;
}

}  // namespace respkv
