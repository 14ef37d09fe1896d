// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "control/contract.h"
#include "os/unique_fd.h"

namespace segue::keeper {

// A listening socket that the keeper holds, so that it outlives every process that accepts from it.
struct ListenSocket {
  control::Listen listen;
  os::UniqueFd fd;
  ino_t inode = 0;  // names it in /proc
};

// Binds and listens. already_exists: somebody else holds the address.
base::Result<ListenSocket> open_listen_socket(const control::Listen& listen);

}  // namespace segue::keeper
