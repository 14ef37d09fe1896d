// SPDX-License-Identifier: Apache-2.0
// Which open files processes hold, to know them again and to fetch them.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <span>
#include <utility>

#include "os/unique_fd.h"

namespace segue::keeper {

// What fstat(2) says of an open file, and how it was opened: it tells sockets, memfds, files and
// the ends of pipes apart. Eventfds, timers and epoll sets have no identity (inode 0).
struct FileIdentity {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::uint32_t access = 0;  // 1: for reading, 2: for writing

  [[nodiscard]] bool is_known() const { return inode != 0; }
  friend auto operator<=>(const FileIdentity&, const FileIdentity&) = default;
};
// Of one of this process's descriptors.
FileIdentity identity_of(int fd);

// What some processes hold, as it was for one moment (proc(5)). Nothing of those that this process
// may not look into.
class FileIndex {
 public:
  explicit FileIndex(std::span<const pid_t> processes);

  [[nodiscard]] bool holds(const FileIdentity& wanted) const { return places_.contains(wanted); }
  // Another descriptor of the same open file (pidfd_getfd(2)), closed on exec; none: nobody holds
  // it, or this process may not have it. Needs the right to trace the holder.
  [[nodiscard]] os::UniqueFd fetch(const FileIdentity& wanted) const;

 private:
  std::map<FileIdentity, std::pair<pid_t, int>> places_;
};

}  // namespace segue::keeper
