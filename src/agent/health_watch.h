// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "control/agent_options.h"
#include "health/health_check.h"

namespace segue::agent {

// Checks again and again until it was good so many times in a row, or its time is over.
class HealthWatch {
 public:
  static constexpr base::Duration kInterval = std::chrono::milliseconds(500);
  static constexpr base::Duration kCheckLimit = std::chrono::seconds(5);

  using OnEnd = std::function<void(bool good, const std::string& text)>;

  // `loop` and `clock` outlive it.
  HealthWatch(os::EpollLoop& loop, const os::Clock& clock, const control::PlaceOptions& place,
              std::vector<std::string> environment, OnEnd on_end);
  ~HealthWatch();
  HealthWatch(const HealthWatch&) = delete;
  HealthWatch& operator=(const HealthWatch&) = delete;

  // Calls on_end once, and not from within start(); on_end may destroy the watch.
  void start();

 private:
  void check();
  void checked(const health::HealthCheck::Result& result);

  os::EpollLoop& loop_;
  const os::Clock& clock_;
  health::HealthCheck::Settings settings_;
  std::uint32_t needed_;
  base::Duration within_;
  OnEnd on_end_;
  base::MonotonicTime until_{};
  std::uint32_t good_ = 0;
  std::unique_ptr<health::HealthCheck> check_;
  std::optional<os::EpollLoop::TimerId> timer_;
};

}  // namespace segue::agent
