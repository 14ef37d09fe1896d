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

// The service manager that has started this keeper, where there is one: it gets to know the
// component's state, watches over the keeper, and keeps the listening sockets for the next one.
class ServiceManager {
 public:
  // `clock` and `loop` outlive it. Whatever the manager's sockets do, the component goes on.
  ServiceManager(const os::Clock& clock, os::EpollLoop& loop, ManagerVariables variables);
  ServiceManager(const ServiceManager&) = delete;
  ServiceManager& operator=(const ServiceManager&) = delete;

  // Listening sockets that the manager has kept, by their listeners' names. Once, and early: it
  // takes the descriptors that this process was started with.
  std::vector<std::pair<std::string, os::UniqueFd>> take_listeners();

  // What the program that this process becomes needs to speak to the manager, as NAME=value.
  [[nodiscard]] std::vector<std::string> variables() const;

  // Tells what has changed since the last time; what could not be told is told again.
  void show(const Decider& component);
  void keep(const std::string& listener, int fd) const;
  void forget(const std::string& listener) const;

 private:
  void watch_over();

  const os::Clock& clock_;
  os::EpollLoop& loop_;
  ManagerVariables variables_;
  std::optional<os::NotifySocket> socket_;
  ServiceState told_;
};

}  // namespace segue::keeper
