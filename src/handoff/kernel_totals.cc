// SPDX-License-Identifier: Apache-2.0
#include "handoff/kernel_totals.h"

#include <linux/sockios.h>
#include <linux/tcp.h>  // the C library's tcp_info ends before what is needed here
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstddef>

namespace segue::handoff {
namespace {

// Linux' numbers of TCP states. In the first three the peer's end of stream has arrived, which the
// kernel counts as one byte received but not as one that waits to be read.
constexpr unsigned kCloseWait = 8;
constexpr unsigned kLastAck = 9;
constexpr unsigned kClosing = 11;
constexpr unsigned kClosed = 7;
constexpr unsigned kTimeWait = 6;

struct Queues {
  int unread = 0;
  int unacknowledged = 0;
  bool operator==(const Queues&) const = default;
};

bool look(int fd, Queues& queues) {
  return ioctl(fd, SIOCINQ, &queues.unread) == 0 &&
         ioctl(fd, SIOCOUTQ, &queues.unacknowledged) == 0;
}

}  // namespace

TotalsKind kernel_totals(int fd, KernelTotals& totals) {
  // Only this process uses the connection; the peer may send and acknowledge while this looks.
  constexpr int kTries = 100;
  constexpr size_t kNeeded = offsetof(tcp_info, tcpi_bytes_received) + sizeof(uint64_t);
  for (int i = 0; i < kTries; ++i) {
    tcp_info info{};
    socklen_t size = sizeof info;
    Queues before;
    Queues after;
    const bool counted = look(fd, before);
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 || size < kNeeded) {
      return TotalsKind::unknown;
    }
    if (info.tcpi_state == kClosed || info.tcpi_state == kTimeWait) return TotalsKind::ended;
    if (!counted || !look(fd, after)) return TotalsKind::unknown;
    if (before != after) continue;
    const bool peer_ended =
        info.tcpi_state == kCloseWait || info.tcpi_state == kLastAck || info.tcpi_state == kClosing;
    const uint64_t received = info.tcpi_bytes_received;
    const uint64_t acknowledged = info.tcpi_bytes_acked;
    totals.consumed = received - (peer_ended ? 1 : 0) - static_cast<uint64_t>(before.unread);
    totals.sent = acknowledged + static_cast<uint64_t>(before.unacknowledged);
    return TotalsKind::known;
  }
  return TotalsKind::unknown;
}

}  // namespace segue::handoff
