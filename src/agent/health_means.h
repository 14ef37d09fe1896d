// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "http/client.h"
#include "os/clock.h"
#include "os/epoll_loop.h"
#include "runtime/engine.h"

namespace segue::agent {

// What health checks need beyond the host itself. Each is made when it is asked for first, as most
// hosts need neither.
class HealthMeans {
 public:
  // `engine` as unix:///PATH; empty: the usual one. `loop` and `clock` outlive it.
  HealthMeans(os::EpollLoop& loop, const os::Clock& clock, std::string engine);
  ~HealthMeans();
  HealthMeans(const HealthMeans&) = delete;
  HealthMeans& operator=(const HealthMeans&) = delete;

  // They live as long as this.
  base::Result<http::Client*> http();
  // unavailable: there is none at its usual place.
  base::Result<runtime::ContainerEngine*> engine();

 private:
  os::EpollLoop& loop_;
  const os::Clock& clock_;
  const std::string engine_url_;
  std::optional<http::Client> http_;
  std::unique_ptr<runtime::ContainerEngine> engine_;
};

}  // namespace segue::agent
