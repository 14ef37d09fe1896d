// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "control/contract.h"
#include "keeper/contract/file_index.h"
#include "os/unique_fd.h"

namespace segue::keeper {

// A listening socket that the keeper holds, so that it outlives every process that accepts from it.
struct ListenSocket {
  control::Listen listen;
  os::UniqueFd fd;
  ino_t inode = 0;  // names it in /proc
  FileIdentity identity;
};

// One that was bound before and is to be it: if it listens on that address, and a Unix socket is
// still in its place. Otherwise nothing, and it is closed.
std::optional<ListenSocket> reuse_listen_socket(const control::Listen& listen, os::UniqueFd fd);

// From now on nobody who shares the socket waits in accept(2). Never taken back: whoever accepts
// from it may have chosen so.
base::Result<void> make_nonblocking(const ListenSocket& socket);

// Binds and listens. already_exists: somebody else holds the address.
base::Result<ListenSocket> open_listen_socket(const control::Listen& listen);

}  // namespace segue::keeper
