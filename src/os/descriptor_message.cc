// SPDX-License-Identifier: Apache-2.0
#include "os/descriptor_message.h"

#include <array>
#include <cerrno>
#include <cstring>

#include "os/unix_socket.h"

namespace segue::os {

base::Result<Sent> send_with_descriptors(int socket, msghdr message, std::span<const int> fds) {
  if (fds.size() > kMaxFdsPerMessage) {
    return base::fail(base::ErrorCode::invalid_argument,
                      "{} descriptors in one message, and {} are allowed", fds.size(),
                      kMaxFdsPerMessage);
  }
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxFdsPerMessage * sizeof(int))> control{};
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
  }
  ssize_t sent = 0;
  do {
    sent = ::sendmsg(socket, &message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return Sent{sent, sent < 0 ? errno : 0};
}

}  // namespace segue::os
