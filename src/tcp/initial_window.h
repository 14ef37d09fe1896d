// SPDX-License-Identifier: Apache-2.0
// The kernel has no option that sets the congestion window, but a BPF program that runs when a
// connection is established may set the first one (TCP_BPF_IW). This is such a program.
//
// Sources: Linux net/core/filter.c (bpf_setsockopt), bpf(2).
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"
#include "os/unique_fd.h"

namespace segue::tcp {

// Acts on sockets that this process, or another one in the same cgroup or below, connects after
// announcing them; all others are left alone. It stands beside other programs of the cgroup and is
// gone with this object, also when the process dies.
//
// Needed: CAP_BPF and CAP_NET_ADMIN, a mounted cgroup v2 hierarchy (an empty one beside version 1
// will do), Linux 5.7 or newer. Threads: any number.
class InitialWindow {
 public:
  // To the cgroup of the calling process, or to the one whose directory is given.
  // permission_denied, not_found: what is needed is missing, named. Moving without it is possible.
  static base::Result<InitialWindow> attach(const std::string& cgroup_directory = {});

  InitialWindow(InitialWindow&&) noexcept = default;
  InitialWindow& operator=(InitialWindow&&) noexcept = default;

  // The congestion window, in segments, that the socket will have once it is connected.
  // resource_exhausted: kMaxAnnounced are waiting.
  base::Result<void> announce(int fd, std::uint32_t segments);
  // After it was connected, or if it will not be.
  void forget(int fd);

  static constexpr std::uint32_t kMaxAnnounced = 4096;

 private:
  InitialWindow(os::UniqueFd map, os::UniqueFd link)
      : map_(std::move(map)), link_(std::move(link)) {}

  os::UniqueFd map_;   // from a socket's cookie to its window
  os::UniqueFd link_;  // the program's place in the cgroup
};

}  // namespace segue::tcp
