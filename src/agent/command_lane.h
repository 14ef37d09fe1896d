// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "agent/child_run.h"

namespace segue::agent {

// Commands that run one after the other.
class CommandLane {
 public:
  using Take = std::function<void(const ChildRun::Result& result)>;

  // `output` is a file for what they print. Loop and clock outlive it; what runs when it is
  // destroyed is killed.
  CommandLane(os::EpollLoop& loop, const os::Clock& clock, std::vector<std::string> environment,
              std::string output);

  // Behind what waits. `take` is called once, not from within run(); it may run more.
  void run(std::vector<std::string> words, base::Duration limit, Take take);
  // Before what waits: from within a `take`, for what belongs to it.
  void run_next(std::vector<std::string> words, base::Duration limit, Take take);

 private:
  struct Task {
    std::vector<std::string> words;
    base::Duration limit{};
    Take take;
  };
  void begin();

  os::EpollLoop& loop_;
  const os::Clock& clock_;
  const std::vector<std::string> environment_;
  const std::string output_;
  std::deque<Task> waiting_;
  bool taking_ = false;
  std::unique_ptr<ChildRun> child_;
  std::unique_ptr<ChildRun> ended_child_;  // until its callback has returned
};

}  // namespace segue::agent
