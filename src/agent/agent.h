// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/outbox.h"
#include "agent/place_agent.h"
#include "base/log.h"
#include "os/clock.h"
#include "os/clock_changes.h"
#include "os/epoll_loop.h"
#include "plans/plan_folder.h"

namespace segue::agent {

// All places of this host: reads the plans again and again and gives them to the places.
class Agent {
 public:
  static constexpr base::Duration kReadInterval = std::chrono::seconds(5);

  struct Settings {
    std::vector<control::PlaceOptions> places;
    std::string plans;
    std::string state;
    std::string report_command;
    std::string host;
    std::vector<std::string> environment;
    std::string segue;
    std::string unsafe_fault;
    std::function<void()> kill_self = nullptr;
  };
  // All outlive it. An error names the place whose state cannot be read; nothing was begun then.
  static base::Result<std::unique_ptr<Agent>> open(os::EpollLoop& loop, const os::Clock& clock,
                                                   const base::Log& log, const plan::Zones& zones,
                                                   const Settings& settings);
  ~Agent();
  Agent(const Agent&) = delete;
  Agent& operator=(const Agent&) = delete;

  base::Result<void> start();

  [[nodiscard]] const std::vector<std::unique_ptr<PlaceAgent>>& places() const { return places_; }

 private:
  Agent(os::EpollLoop& loop, const os::Clock& clock, const base::Log& log, Settings settings,
        os::ClockChanges clock_changes);
  void read_plans();
  void report_unreadable(const std::vector<plans::PlanFolder::Unreadable>& files);

  os::EpollLoop& loop_;
  const os::Clock& clock_;
  const base::Log& log_;
  Settings settings_;
  os::ClockChanges clock_changes_;
  plans::PlanFolder folder_;
  Outbox outbox_;
  std::vector<std::unique_ptr<PlaceAgent>> places_;
  std::optional<os::EpollLoop::TimerId> timer_;
  std::vector<plan::Plan> known_;
  std::string complaint_;  // about the plans, as it was logged last
};

}  // namespace segue::agent
