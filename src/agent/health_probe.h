// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "fleet/component.h"
#include "fleet/instance.h"
#include "health/health_check.h"
#include "os/clock.h"
#include "os/epoll_loop.h"

namespace segue::agent {

// Checks an instance's health for as long as it lives, and says when its verdict changes.
class HealthProbe {
 public:
  struct Verdict {
    fleet::Health health = fleet::Health::unknown;
    std::string text;        // of the last check
    base::RealTime since{};  // of the verdict
  };
  using OnChange = std::function<void(const Verdict& verdict)>;

  // `loop` and `clock` outlive it.
  HealthProbe(os::EpollLoop& loop, const os::Clock& clock, fleet::HealthCheck check,
              std::vector<std::string> environment, OnChange on_change);
  ~HealthProbe();
  HealthProbe(const HealthProbe&) = delete;
  HealthProbe& operator=(const HealthProbe&) = delete;

  // From now on; what was found before says nothing any more.
  void start();
  void stop();
  [[nodiscard]] const Verdict& verdict() const { return verdict_; }

 private:
  void check();
  void checked(const health::HealthCheck::Result& result);
  void change(fleet::Health health);

  os::EpollLoop& loop_;
  const os::Clock& clock_;
  const fleet::HealthCheck rule_;
  const std::vector<std::string> environment_;
  OnChange on_change_;
  Verdict verdict_;
  std::uint32_t good_in_row_ = 0;
  std::uint32_t bad_in_row_ = 0;
  std::unique_ptr<health::HealthCheck> check_;
  std::optional<os::EpollLoop::TimerId> timer_;
};

}  // namespace segue::agent
