// SPDX-License-Identifier: Apache-2.0
#include "agent/command_lane.h"

#include <utility>

namespace segue::agent {

CommandLane::CommandLane(os::EpollLoop& loop, const os::Clock& clock,
                         std::vector<std::string> environment, std::string output)
    : loop_(loop),
      clock_(clock),
      environment_(std::move(environment)),
      output_(std::move(output)) {}

void CommandLane::run(std::vector<std::string> words, base::Duration limit, Take take) {
  waiting_.push_back({std::move(words), limit, std::move(take)});
  if (!child_ && !taking_) begin();
}

void CommandLane::run_next(std::vector<std::string> words, base::Duration limit, Take take) {
  waiting_.push_front({std::move(words), limit, std::move(take)});
  if (!child_ && !taking_) begin();
}

void CommandLane::begin() {
  if (waiting_.empty()) return;
  Task task = std::move(waiting_.front());
  waiting_.pop_front();
  child_ = std::make_unique<ChildRun>(
      loop_, clock_, ChildRun::Settings{std::move(task.words), environment_, output_, task.limit},
      [this, take = std::move(task.take)](const ChildRun::Result& result) {
        ended_child_ = std::move(child_);
        taking_ = true;
        take(result);
        taking_ = false;
        begin();
      });
  child_->start();
}

}  // namespace segue::agent
