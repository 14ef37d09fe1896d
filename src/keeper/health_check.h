// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "control/options.h"
#include "os/clock.h"
#include "os/epoll_loop.h"
#include "os/process.h"

namespace segue::keeper {

// One check of a component's health, without blocking: first the command, then the TCP connect,
// whichever are asked for. At the time limit the command is killed and the check is bad.
class HealthCheck {
 public:
  struct Result {
    bool good = false;
    std::string text;  // what was found, for a person
  };
  using OnResult = std::function<void(const Result&)>;

  // `loop` and `clock` outlive it. `environment` is the command's.
  HealthCheck(os::EpollLoop& loop, const os::Clock& clock, const control::AttemptOptions& options,
              std::vector<std::string> environment, OnResult on_result);
  ~HealthCheck();
  HealthCheck(const HealthCheck&) = delete;
  HealthCheck& operator=(const HealthCheck&) = delete;

  // Calls on_result once, perhaps at once; it may destroy the check.
  void start();

 private:
  void run_command();
  void command_ended();
  void connect();
  void connected();
  void timed_out();
  void done(bool good, std::string text);
  void release();

  os::EpollLoop& loop_;
  const os::Clock& clock_;
  std::string command_;
  std::string address_;
  base::Duration limit_;
  std::vector<std::string> environment_;
  OnResult on_result_;
  std::optional<os::EpollLoop::TimerId> timer_;
  os::Child child_;
  os::UniqueFd socket_;
};

}  // namespace segue::keeper
