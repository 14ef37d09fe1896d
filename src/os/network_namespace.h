// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/error.h"
#include "os/unique_fd.h"

namespace segue::os {

// A new network namespace with nothing but a loopback interface that is down. It lives as long as
// the descriptor, a process, a socket or another interface in it.
base::Result<UniqueFd> make_network_namespace();

// The one that the calling thread is in.
base::Result<UniqueFd> current_network_namespace();

// The calling thread, and no other, is in the namespace until the end of this object's life:
// sockets that it makes and processes that it starts meanwhile belong there. Sockets keep the
// namespace of their birth. Needed: CAP_SYS_ADMIN in both.
class InNetworkNamespace {
 public:
  // Borrows the descriptor only for this call.
  static base::Result<InNetworkNamespace> enter(int namespace_fd);

  InNetworkNamespace(InNetworkNamespace&&) noexcept = default;
  InNetworkNamespace& operator=(InNetworkNamespace&&) = delete;
  // Aborts when there is no way back: everything after it would happen in the wrong place.
  ~InNetworkNamespace();

 private:
  explicit InNetworkNamespace(UniqueFd home) : home_(std::move(home)) {}

  UniqueFd home_;
};

}  // namespace segue::os
