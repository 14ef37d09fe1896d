// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <list>
#include <set>
#include <string>
#include <vector>

#include "keeper/contract/file_index.h"
#include "os/epoll_loop.h"
#include "os/unique_fd.h"

namespace segue::keeper {

// Descriptors that a program leaves with the keeper and gets back when it is started again, as
// systemd's file descriptor store does (FDSTORE=1 in sd_notify(3)).
class FdStore {
 public:
  static constexpr std::size_t kDefaultMax = 128;

  // `loop` outlives it.
  FdStore(os::EpollLoop& loop, std::size_t max) : loop_(loop), max_(max) {}
  ~FdStore();
  FdStore(const FdStore&) = delete;
  FdStore& operator=(const FdStore&) = delete;

  enum class Added { kept, known_already, full };
  // With `poll` it is given up when its other end hangs up.
  Added add(const std::string& name, os::UniqueFd fd, bool poll);
  // All of that name; returns how many.
  std::size_t remove(const std::string& name);

  struct Entry {
    std::string name;
    os::UniqueFd fd;
    FileIdentity identity;
    bool is_watched = false;
  };
  [[nodiscard]] const std::list<Entry>& entries() const { return entries_; }
  [[nodiscard]] std::set<ino_t> socket_inodes() const;

 private:
  using Place = std::list<Entry>::iterator;
  void drop(Place entry);

  os::EpollLoop& loop_;
  std::size_t max_;
  std::list<Entry> entries_;  // in the order of their arrival
};

}  // namespace segue::keeper
