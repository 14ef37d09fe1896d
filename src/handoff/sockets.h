// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>

#include <string>
#include <string_view>

#include "handoff/status.h"
#include "handoff/unique_fd.h"

namespace segue::handoff {

struct SocketAddress {
  int family = AF_UNSPEC;
  int type = SOCK_STREAM;
  sockaddr_storage storage{};
  socklen_t size = 0;
  std::string path;  // Unix sockets
};

// "tcp:127.0.0.1:6379", "tcp:[::1]:6379", "udp:...", "unix:/path", "unixgram:/path". Numbers only:
// no name is looked up.
Status parse_address(std::string_view text, SocketAddress& address);

// Binds (and listens, for streams); non-blocking, close-on-exec. A Unix socket's path that nobody
// listens at any more is replaced.
Status bind_listener(std::string_view text, int backlog, UniqueFd& fd);

// The peer sees it at once even while another process holds the same socket.
void close_peer(int fd, segue_close_how how);

}  // namespace segue::handoff
