// SPDX-License-Identifier: Apache-2.0
#include "keeper/contract/notify_socket.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "keeper/contract/notice.h"
#include "os/unix_socket.h"

namespace segue::keeper {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

void take_control(msghdr& header, NotifySocket::Message& message) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&header); part != nullptr; part = CMSG_NXTHDR(&header, part)) {
    if (part->cmsg_level != SOL_SOCKET) continue;
    if (part->cmsg_type == SCM_CREDENTIALS && part->cmsg_len >= CMSG_LEN(sizeof(ucred))) {
      ucred credentials{};
      std::memcpy(&credentials, CMSG_DATA(part), sizeof credentials);
      message.sender = credentials.pid;
      message.user = credentials.uid;
    } else if (part->cmsg_type == SCM_RIGHTS) {
      const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      for (std::size_t i = 0; i < count; ++i) {
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof fd);
        message.fds.emplace_back(fd);
      }
    }
  }
}

}  // namespace

Result<NotifySocket> NotifySocket::open(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return fail(ErrorCode::invalid_argument,
                "the socket path '{}' is too long: choose a shorter directory, for example with "
                "SEGUE_RUNTIME_DIR",
                path);
  }
  path.copy(address.sun_path, path.size());
  ::unlink(path.c_str());  // the folder is this keeper's alone, as its lock says
  os::UniqueFd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail(base::errno_error("make a socket", errno));
  const int on = 1;
  if (::setsockopt(fd.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) != 0 ||
      ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail(base::errno_error("bind " + path, errno));
  }
  return NotifySocket(path, std::move(fd));
}

NotifySocket::~NotifySocket() {
  if (fd_) ::unlink(path_.c_str());
}

Result<std::optional<NotifySocket::Message>> NotifySocket::receive() {
  std::array<char, kMaxNoticeBytes + 1> bytes{};
  alignas(cmsghdr)
      std::array<char, CMSG_SPACE(sizeof(ucred)) + CMSG_SPACE(os::kMaxFdsPerMessage * sizeof(int))>
          control{};
  iovec part{.iov_base = bytes.data(), .iov_len = bytes.size()};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  ssize_t got = 0;
  do {
    got = ::recvmsg(fd_.get(), &header, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got < 0 && errno == EAGAIN) return std::nullopt;
  if (got < 0) return fail(base::errno_error("receive a notice", errno));
  Message message;
  message.bytes.assign(bytes.data(), static_cast<std::size_t>(got));
  message.is_whole = (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
  take_control(header, message);
  return message;
}

}  // namespace segue::keeper
