// SPDX-License-Identifier: Apache-2.0
#include "tcp/kernel.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>

#include <cstddef>

namespace segue::tcp {

using base::ErrorCode;
using base::fail;
using base::Result;

Result<void> switch_repair(int fd, bool on) {
  const int value = on ? TCP_REPAIR_ON : TCP_REPAIR_OFF;
  auto done = set_option(fd, IPPROTO_TCP, TCP_REPAIR, value, "TCP_REPAIR");
  if (done || done.error().code() != ErrorCode::permission_denied) return done;
  return fail(ErrorCode::permission_denied,
              "TCP_REPAIR: it needs CAP_NET_ADMIN in the user namespace that owns the socket's "
              "network namespace: run as root, or give the program that capability");
}

Result<void> select_queue(int fd, RepairQueue queue) {
  return set_option(fd, IPPROTO_TCP, TCP_REPAIR_QUEUE, static_cast<int>(queue), "TCP_REPAIR_QUEUE");
}

Result<SendQueueSize> send_queue_size(int fd) {
  int all = 0;
  int unsent = 0;
  if (::ioctl(fd, SIOCOUTQ, &all) != 0) return fail(base::errno_error("SIOCOUTQ", errno));
  if (::ioctl(fd, SIOCOUTQNSD, &unsent) != 0) {
    return fail(base::errno_error("SIOCOUTQNSD", errno));
  }
  if (all < 0 || unsent < 0 || unsent > all) {
    return fail(ErrorCode::internal, "the kernel says that {} of {} bytes are unsent", unsent, all);
  }
  return SendQueueSize{static_cast<std::size_t>(all), static_cast<std::size_t>(unsent)};
}

}  // namespace segue::tcp
