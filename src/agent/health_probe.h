// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "agent/health_means.h"
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
  // The container that serves now; empty: it is not known now, and what is inside is not checked.
  using FindContainer = std::function<std::string()>;

  // `loop`, `clock` and `means` outlive it. `find_container`: commands are run in a container, and
  // on the host without it.
  HealthProbe(os::EpollLoop& loop, const os::Clock& clock, HealthMeans& means,
              fleet::HealthCheck check, std::vector<std::string> environment,
              FindContainer find_container, OnChange on_change);
  ~HealthProbe();
  HealthProbe(const HealthProbe&) = delete;
  HealthProbe& operator=(const HealthProbe&) = delete;

  // From now on; what was found before says nothing any more.
  void start();
  void stop();
  [[nodiscard]] const Verdict& verdict() const { return verdict_; }

 private:
  void check();
  [[nodiscard]] base::Result<void> check_inside(const std::string& container);
  [[nodiscard]] base::Result<void> check_grpc();
  void checked(const health::HealthCheck::Result& result);
  void check_later();
  void change(fleet::Health health);

  os::EpollLoop& loop_;
  const os::Clock& clock_;
  const fleet::HealthCheck rule_;
  const std::vector<std::string> environment_;
  HealthMeans& means_;
  FindContainer find_container_;
  OnChange on_change_;
  Verdict verdict_;
  std::uint32_t good_in_row_ = 0;
  std::uint32_t bad_in_row_ = 0;
  std::unique_ptr<health::HealthCheck> check_;
  runtime::CallHandle call_;
  std::optional<os::EpollLoop::TimerId> timer_;
};

}  // namespace segue::agent
