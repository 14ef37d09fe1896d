// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "os/unique_fd.h"

// Unix sockets (unix(7)). Every descriptor made or received here is closed on exec.
namespace segue::os {

enum class SocketType { stream, seqpacket };
enum class Blocking { no, yes };

inline constexpr std::size_t kMaxSocketPathBytes = 107;  // sun_path without its final NUL
inline constexpr std::size_t kMaxFdsPerMessage = 253;    // SCM_MAX_FD

// Listens, without blocking, at `path`, whose directory is made or checked to be private
// (ensure_private_directory). A socket that a dead process left behind is replaced; one with
// somebody behind it is already_exists.
base::Result<UniqueFd> listen_unix(const std::string& path, SocketType type);

// The next connection, non-blocking itself; nullopt: none is waiting.
base::Result<std::optional<UniqueFd>> accept_unix(const UniqueFd& listener);

// unavailable: nobody listens there. resource_exhausted, where it is not blocking: too many wait to
// be accepted.
base::Result<UniqueFd> connect_unix(const std::string& path, SocketType type, Blocking blocking);

// The same for FOLDER/NAME, believing only a folder that nobody but its owner (this user; for root
// anybody) can enter, with a process of that owner behind the socket: permission_denied or
// failed_precondition otherwise. not_found: there is no such folder.
base::Result<UniqueFd> connect_private(const std::string& folder, std::string_view name,
                                       SocketType type, Blocking blocking);

// Two sockets connected to each other.
base::Result<std::pair<UniqueFd, UniqueFd>> socket_pair(SocketType type, Blocking blocking);

// How long each send and receive of a blocking socket may take; then it is as if it were not
// blocking.
base::Result<void> set_timeout(const UniqueFd& socket, base::Duration timeout);

struct PeerCredentials {
  pid_t pid = -1;  // as of the connect; may have ended since
  uid_t uid = 0;
  gid_t gid = 0;
};
// As the kernel recorded them, not as the peer says.
base::Result<PeerCredentials> peer_credentials(const UniqueFd& socket);

// Sends a message, or as much of a stream as fits, with copies of `fds` (borrowed). Returns the
// bytes sent; 0: the socket is full, and neither bytes nor fds have gone. `bytes` must not be
// empty. A peer that has gone is unavailable, never a SIGPIPE.
base::Result<std::size_t> send_message(const UniqueFd& socket, std::string_view bytes,
                                       std::span<const int> fds = {});

struct Received {
  enum class Kind {
    message,      // of a stream: the bytes there are
    would_block,  // nothing yet
    closed,       // and nothing more will come
  };
  Kind kind = Kind::closed;
  std::string bytes;
  std::vector<UniqueFd> fds;
};
// data_loss when a message did not arrive whole: longer than `max_bytes`, or its descriptors did
// not fit into this process's table. What did arrive is closed.
base::Result<Received> receive_message(const UniqueFd& socket, std::size_t max_bytes);

}  // namespace segue::os
