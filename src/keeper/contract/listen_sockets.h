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

// For whom sockets are opened: in a group its name tells the slot, and the directory has the lock.
struct GroupMember {
  std::string component;
  std::string runtime_directory;  // of all components of this user
};
GroupMember group_member_of(const std::string& runtime_folder);  // the component's own
// Binds and listens. already_exists: somebody else holds the address. A member of a group gets
// what its slot gets before a share is set: all new connections, or none; `member` has to say
// which.
base::Result<ListenSocket> open_listen_socket(const control::Listen& listen,
                                              const GroupMember& member = {});

}  // namespace segue::keeper
