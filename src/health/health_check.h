// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "os/clock.h"
#include "os/epoll_loop.h"
#include "os/process.h"

namespace segue::health {

// One check of a component's health, without blocking: first the command, then the TCP connect,
// then the HTTP request, whichever are asked for. At the time limit the command is killed and the
// check is bad.
class HealthCheck {
 public:
  struct Result {
    bool good = false;
    std::string text;  // what was found, for a person
  };
  struct Settings {
    std::string command;  // a shell command; good when it exits with 0
    std::string tcp;      // HOST:PORT that has to accept
    std::string http;     // http://HOST:PORT/PATH that has to answer with 2xx or 3xx
    base::Duration limit = std::chrono::seconds(5);
    std::vector<std::string> environment;  // the command's
  };
  using OnResult = std::function<void(const Result&)>;

  // `loop` and `clock` outlive it.
  HealthCheck(os::EpollLoop& loop, const os::Clock& clock, Settings settings, OnResult on_result);
  ~HealthCheck();
  HealthCheck(const HealthCheck&) = delete;
  HealthCheck& operator=(const HealthCheck&) = delete;

  // Calls on_result once, perhaps at once; it may destroy the check.
  void start();

 private:
  void run_command();
  void command_ended();
  void check_tcp();
  void check_http();
  void connect(const std::string& address);
  void connected();
  void read_answer();
  void timed_out();
  void done(bool good, std::string text);
  void release();

  os::EpollLoop& loop_;
  const os::Clock& clock_;
  Settings settings_;
  OnResult on_result_;
  std::optional<os::EpollLoop::TimerId> timer_;
  os::Child child_;
  os::UniqueFd socket_;
  std::string address_;  // that the socket is for
  std::string request_;  // what is sent once it is connected; empty: that is all
  std::string answer_;
};

}  // namespace segue::health
