// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/time.h"
#include "os/clock.h"
#include "os/epoll_loop.h"
#include "os/unique_fd.h"

namespace segue::agent {

// Asks a component's keeper how the component is, over its control socket and without blocking.
class KeeperQuery {
 public:
  // As `segue status --json` would have ended, with the line that it would have printed last.
  struct Answer {
    int exit_code = 0;
    std::string line;
  };
  using Take = std::function<void(const Answer&)>;

  // `runtime`: where the components' folders are. Loop and clock outlive it.
  KeeperQuery(os::EpollLoop& loop, const os::Clock& clock, std::string runtime,
              std::string component, base::Duration limit, Take take);
  ~KeeperQuery();
  KeeperQuery(const KeeperQuery&) = delete;
  KeeperQuery& operator=(const KeeperQuery&) = delete;

  // Calls `take` once, and not from within start(); it may destroy the query.
  void start();

 private:
  void ask();
  void readable();
  void done(const base::Error& error);
  void done(Answer answer);

  os::EpollLoop& loop_;
  const os::Clock& clock_;
  const std::string folder_;
  const base::Duration limit_;
  Take take_;
  os::UniqueFd socket_;
  std::optional<os::EpollLoop::TimerId> timer_;
};

}  // namespace segue::agent
