// SPDX-License-Identifier: Apache-2.0
// What /proc says of an instance's processes: the main one and all that descend from it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <set>
#include <span>
#include <vector>

#include "os/unique_fd.h"

namespace segue::keeper {

// As it was for one moment; processes come and go while it is read.
class ProcessTable {
 public:
  static ProcessTable read();

  struct Entry {
    pid_t parent = 0;
    pid_t group = 0;
  };
  // `pid` first; nothing if there is no such process.
  [[nodiscard]] std::vector<pid_t> family(pid_t pid) const;

 private:
  std::map<pid_t, Entry> entries_;
};

// The first of `candidates` met on the way from `pid` to its ancestors, else the one whose process
// group it is in; 0: none.
pid_t nearest(pid_t pid, const std::set<pid_t>& candidates);

// Whether a process of `family` waits for connections on every one of `listeners`: it has them in
// an epoll set, or a thread sits in accept(2) on them.
bool accepts_on(std::span<const pid_t> family, const std::set<ino_t>& listeners);

// Connections that processes of `family` hold and that came in through a listener at one of
// `ports` (TCP) or `paths` (Unix).
struct ListenerNames {
  std::set<std::uint16_t> ports;
  std::set<std::string> paths;
};
struct Connection {
  pid_t pid = 0;
  int fd = -1;  // in that process
};
// Those of which `stored` names the inode are only counted.
struct Established {
  std::vector<Connection> own;
  std::size_t stored = 0;
};
Established established(std::span<const pid_t> family, const ListenerNames& names,
                        const std::set<ino_t>& stored);

// Ends at most `count` of the connections for both sides (shutdown(2) through pidfd_getfd(2)).
// Returns how many were; fewer where this process may not.
std::size_t cut(std::span<const Connection> connections, std::size_t count);

}  // namespace segue::keeper
