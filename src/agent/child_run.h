// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "control/request.h"
#include "os/clock.h"
#include "os/epoll_loop.h"
#include "os/process.h"

namespace segue::agent {

// One command, without blocking. What it prints goes to a file, as it may leave something behind
// that goes on printing. At its limit it is killed with its process group, as when this is
// destroyed.
class ChildRun {
 public:
  struct Settings {
    std::vector<std::string> argv;
    std::vector<std::string> env;
    std::string output;  // a file, which is begun anew
    base::Duration limit{};
  };
  struct Result {
    bool ended = false;     // false: it did not start, or was killed at its limit
    int exit_code = 0;      // 128 and the signal where that ended it
    std::string text;       // for a person: how it ended and what it said last
    std::string last_line;  // of its output
  };
  using OnEnd = std::function<void(const Result&)>;

  static constexpr std::size_t kMaxLineBytes = control::kMaxReplyBytes;  // a keeper's answer

  // `loop` and `clock` outlive it.
  ChildRun(os::EpollLoop& loop, const os::Clock& clock, Settings settings, OnEnd on_end);
  ~ChildRun();
  ChildRun(const ChildRun&) = delete;
  ChildRun& operator=(const ChildRun&) = delete;

  // Calls on_end once, and not from within start(); on_end may destroy the run.
  void start();

 private:
  void begin();
  void ended();
  void done(bool ended, int exit_code, const std::string& how);
  void kill();

  os::EpollLoop& loop_;
  const os::Clock& clock_;
  Settings settings_;
  OnEnd on_end_;
  os::Child child_;
  std::optional<os::EpollLoop::TimerId> timer_;
};

// The last line of the file that is not blank, cut to what is readable; "" if there is none.
std::string last_line_of(const std::string& path);

}  // namespace segue::agent
