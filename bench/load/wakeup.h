// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include "base/error.h"
#include "load/histogram.h"

namespace segue::load {

// How fast this host's scheduler wakes a process, measured beside the load: one process sleeps on a
// timer and then writes the time to a pipe, another one reads it. A handoff needs such wake-ups, so
// its tail is to be judged against these.
class WakeupControl {
 public:
  struct Result {
    Histogram pipe;   // written by one process -> read by the other
    Histogram timer;  // timer due -> its process runs
  };

  WakeupControl() = default;
  WakeupControl(const WakeupControl&) = delete;
  WakeupControl& operator=(const WakeupControl&) = delete;
  ~WakeupControl();

  // Starts both processes. Call before anything large is allocated.
  base::Result<void> start();
  // Ends them; what they measured stays readable.
  void stop();
  // Forgets what was measured so far.
  void restart() const;
  [[nodiscard]] Result result() const;

 private:
  struct Shared;

  Shared* shared_ = nullptr;
  pid_t ticker_ = -1;
  pid_t receiver_ = -1;
};

}  // namespace segue::load
