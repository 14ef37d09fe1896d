// SPDX-License-Identifier: Apache-2.0
// What the parts of a builder share.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "base/log.h"
#include "builder/config.h"
#include "builder/decider.h"
#include "builder/step.h"
#include "builder/store.h"
#include "control/build_options.h"
#include "os/clock.h"
#include "os/epoll_loop.h"

namespace segue::builder {

struct Workshop {
  os::EpollLoop& loop;
  const os::Clock& clock;
  const Config& config;
  Store& store;
  Decider& decider;
  base::Log& log_output;
  control::Screen& screen;
  std::vector<std::string> environment;  // of git and of the publisher
  std::string publisher;                 // program
  std::set<pid_t> steps;                 // that run
  std::function<void(Commands)> execute;
  std::function<void()> read_spool;
  // What must not fail has failed: the builder ends, and goes on when it is started again.
  std::function<void(base::Error)> give_up;

  [[nodiscard]] base::Log& log() const {
    screen.live("");  // its line would be in the way
    return log_output;
  }
  [[nodiscard]] std::int64_t now_s() const {
    return std::chrono::floor<std::chrono::seconds>(clock.realtime_now())
        .time_since_epoch()
        .count();
  }
  // Each process of a builder has it, so that the next builder finds what a killed one left.
  [[nodiscard]] static std::string mark(const std::string& state_folder) {
    return "SEGUE_BUILDER_STATE=" + state_folder;
  }
};

}  // namespace segue::builder
