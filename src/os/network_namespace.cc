// SPDX-License-Identifier: Apache-2.0
#include "os/network_namespace.h"

#include <fcntl.h>
#include <sched.h>

#include <cerrno>
#include <utility>

#include "base/assert.h"

namespace segue::os {

using base::errno_error;
using base::fail;
using base::Result;

Result<UniqueFd> current_network_namespace() {
  UniqueFd current(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!current) return fail(errno_error("open /proc/thread-self/ns/net", errno));
  return current;
}

Result<UniqueFd> make_network_namespace() {
  SEGUE_ASSIGN(UniqueFd home, current_network_namespace());
  if (::unshare(CLONE_NEWNET) != 0) {
    return fail(errno_error("make a network namespace", errno));
  }
  auto made = current_network_namespace();
  SEGUE_ASSERT(::setns(home.get(), CLONE_NEWNET) == 0);
  return made;
}

Result<InNetworkNamespace> InNetworkNamespace::enter(int namespace_fd) {
  SEGUE_ASSIGN(UniqueFd home, current_network_namespace());
  if (::setns(namespace_fd, CLONE_NEWNET) != 0) {
    return fail(errno_error("enter a network namespace", errno));
  }
  return InNetworkNamespace(std::move(home));
}

InNetworkNamespace::~InNetworkNamespace() {
  if (home_) SEGUE_ASSERT(::setns(home_.get(), CLONE_NEWNET) == 0);
}

}  // namespace segue::os
