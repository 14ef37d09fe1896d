// SPDX-License-Identifier: Apache-2.0
// One command of a build, or one talk with git: a child process under limits.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "builder/build_file.h"
#include "os/clock.h"
#include "os/epoll_loop.h"
#include "os/process.h"
#include "os/process_tree.h"

namespace segue::builder {

struct StepOptions {
  std::vector<std::string> argv;
  std::vector<std::string> env;
  std::string cwd;
  Limits limits;
  std::string log;                // file to which it adds what it prints; empty: it is forgotten
  std::uint64_t log_used = 0;     // bytes of limits.log_mib that are used up
  std::size_t capture_bytes = 0;  // of its stdout, which then is not in the log; 0: none
  // Besides time and output also memory and processes are bounded, and everything that the step
  // started ends with it, whatever session or group that has moved to. One at a time.
  bool is_guarded = false;
};

struct StepEnd {
  bool good = false;
  std::string why;  // "exited with 2", "took longer than 60 s"
  int exit_code = 0;
  bool was_stopped = false;  // at a limit
  std::string captured;
  // What it printed, for a message: its last line, or git's "fatal: …", which comes before advice.
  std::string last_line;
  std::uint64_t log_bytes = 0;
};

class Step {
 public:
  using OnEnd = std::function<void(StepEnd)>;
  // How often memory and processes are looked at.
  static constexpr base::Duration kSurveyInterval = std::chrono::milliseconds(200);
  // How long what was killed may take to go.
  static constexpr base::Duration kClearLimit = std::chrono::seconds(20);

  // `loop` and `clock` outlive it. `others` are the pids of the steps that run beside it; each adds
  // and removes its own.
  Step(os::EpollLoop& loop, const os::Clock& clock, std::set<pid_t>& others);
  ~Step();
  Step(const Step&) = delete;
  Step& operator=(const Step&) = delete;

  // Calls on_end once, not before it returns; on_end may destroy the step. An error: nothing runs,
  // and on_end is not called.
  base::Result<void> start(StepOptions options, OnEnd on_end);

 private:
  struct Stream {
    os::UniqueFd fd;
    bool is_captured = false;
  };

  base::Result<void> spawn();
  base::Result<void> watch_stream(Stream& stream, os::UniqueFd reader);
  void read(Stream& stream);
  void take(std::string_view bytes, bool is_captured);
  void write_log(std::string_view bytes);
  void end_line();
  void survey();
  void child_ended();
  void stop(std::string why);
  void clear();
  void finish();
  void release();
  [[nodiscard]] base::Result<std::vector<os::TreeProcess>> members() const;
  void schedule(base::Duration after, void (Step::*what)());

  os::EpollLoop& loop_;
  const os::Clock& clock_;
  std::set<pid_t>& others_;
  StepOptions options_;
  OnEnd on_end_;
  os::Child child_;
  Stream output_;  // stdout and stderr, or only stderr
  Stream captured_;
  os::UniqueFd log_;
  std::optional<os::EpollLoop::TimerId> limit_timer_;
  std::optional<os::EpollLoop::TimerId> timer_;  // survey, then clear
  base::MonotonicTime clear_until_{};
  std::string line_;  // the one that is being printed
  StepEnd end_;
};

}  // namespace segue::builder
