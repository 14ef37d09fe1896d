// SPDX-License-Identifier: Apache-2.0
#include "handoff/keeper_rejoin.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstring>

#include "handoff/peer.h"

namespace segue::handoff {

void KeeperRejoin::begin(uint64_t now_ns) {
  delay_ns_ = kFirstDelayNs;
  next_ns_ = now_ns + delay_ns_;
}

UniqueFd KeeperRejoin::try_connect(uint64_t now_ns) {
  if (now_ns < next_ns_) return {};
  delay_ns_ = std::min(2 * delay_ns_, kMaxDelayNs);
  next_ns_ = now_ns + delay_ns_;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string& path = rendezvous_.socket_path;
  if (path.empty() || path.size() >= sizeof address.sun_path) return {};
  memcpy(address.sun_path, path.data(), path.size());
  UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid() ||
      connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return {};
  }
  UniqueFd pidfd;
  pid_t pid = 0;
  if (!identify_peer(fd.get(), pidfd, pid).ok()) return {};
  return fd;
}

}  // namespace segue::handoff
