// SPDX-License-Identifier: Apache-2.0
#include "os/notify_socket.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <cstddef>

#include "os/descriptor_message.h"
#include "os/unix_socket.h"

namespace segue::os {

using base::ErrorCode;
using base::fail;
using base::Result;

Result<NotifySocket> NotifySocket::open(const std::string& address) {
  if (!address.starts_with('/') && !address.starts_with('@')) {
    return fail(ErrorCode::invalid_argument,
                "NOTIFY_SOCKET={} is neither an absolute path nor an abstract name", address);
  }
  if (address.size() < 2 || address.size() > kMaxSocketPathBytes) {
    return fail(ErrorCode::invalid_argument, "NOTIFY_SOCKET has {} bytes, and 2 to {} are possible",
                address.size(), kMaxSocketPathBytes);
  }
  UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail(base::errno_error("make a socket", errno));
  return NotifySocket(std::move(fd), address);
}

Result<void> NotifySocket::send(std::string_view text, std::span<const int> fds) const {
  sockaddr_un peer{};
  peer.sun_family = AF_UNIX;
  address_.copy(peer.sun_path, address_.size());
  if (address_.starts_with('@')) peer.sun_path[0] = '\0';

  iovec content{.iov_base = const_cast<char*>(text.data()), .iov_len = text.size()};
  msghdr message{};
  message.msg_name = &peer;
  message.msg_namelen = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address_.size());
  message.msg_iov = &content;
  message.msg_iovlen = 1;
  SEGUE_ASSIGN(const Sent sent, send_with_descriptors(fd_.get(), message, fds));
  if (sent.bytes >= 0) return {};
  if (sent.error_number == EAGAIN || sent.error_number == ECONNREFUSED ||
      sent.error_number == ENOENT) {
    return fail(ErrorCode::unavailable, "the service manager does not listen on {} now", address_);
  }
  return fail(base::errno_error("notify the service manager at " + address_, sent.error_number));
}

}  // namespace segue::os
