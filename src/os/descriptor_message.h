// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>

#include <span>

#include "base/error.h"

namespace segue::os {

struct Sent {
  ssize_t bytes = -1;    // as of sendmsg(2)
  int error_number = 0;  // where bytes is negative
};
// sendmsg(2) with copies of `fds` (borrowed, SCM_RIGHTS), until no signal interrupts it. `message`
// has no control part of its own. invalid_argument: more than one message may carry.
base::Result<Sent> send_with_descriptors(int socket, msghdr message, std::span<const int> fds);

}  // namespace segue::os
