// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "keeper/service_state.h"
#include "os/clock.h"
#include "os/epoll_loop.h"
#include "os/notify_socket.h"

namespace segue::keeper {

struct KeptFd {
  std::string name;  // of the listener, or as it was stored
  os::UniqueFd fd;
};
struct KeptFds {
  std::vector<KeptFd> listeners;
  std::vector<KeptFd> stored;
};

// The service manager that has started this keeper, where there is one: it gets to know the
// component's state, watches over the keeper, and keeps descriptors for the next one.
class ServiceManager {
 public:
  // `clock` and `loop` outlive it. Whatever the manager's sockets do, the component goes on.
  ServiceManager(const os::Clock& clock, os::EpollLoop& loop, ManagerVariables variables);
  ServiceManager(const ServiceManager&) = delete;
  ServiceManager& operator=(const ServiceManager&) = delete;

  // What the manager has kept. Once, and early: it takes the descriptors that this process was
  // started with.
  KeptFds take_kept();

  // What the program that this process becomes needs to speak to the manager, as NAME=value.
  [[nodiscard]] std::vector<std::string> variables() const;

  // Tells what has changed since the last time; what could not be told is told again.
  void show(const Decider& component);
  // With `poll` it is given up when its other end hangs up.
  void keep(Kept kind, const std::string& name, int fd, bool poll = true) const;
  void forget(Kept kind, const std::string& name) const;

 private:
  void watch_over();

  const os::Clock& clock_;
  os::EpollLoop& loop_;
  ManagerVariables variables_;
  std::optional<os::NotifySocket> socket_;
  ServiceState told_;
};

}  // namespace segue::keeper
