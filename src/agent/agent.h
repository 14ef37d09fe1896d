// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/outbox.h"
#include "agent/place_agent.h"
#include "agent/plan_feed.h"
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
    std::string plans;           // a directory
    bool fetches_plans = false;  // from the places' libraries too
    base::Duration fetch_interval = std::chrono::seconds(60);
    base::Duration plans_alarm_after = std::chrono::hours(1);
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
  base::Result<void> open_feeds();
  void read_plans();
  // Adds to `plans` what there is, and to `complaint` what cannot be read.
  static void gather(const std::string& directory,
                     base::Result<plans::PlanFolder::Contents> contents,
                     std::vector<plan::Plan>& plans, std::string& complaint);
  void complain(const std::string& complaint);
  void raise_alarm(const std::string& library, const std::string& text);

  os::EpollLoop& loop_;
  const os::Clock& clock_;
  const base::Log& log_;
  Settings settings_;
  os::ClockChanges clock_changes_;
  plans::PlanFolder folder_;
  Outbox outbox_;
  std::vector<std::unique_ptr<PlaceAgent>> places_;
  std::vector<std::unique_ptr<PlanFeed>> feeds_;
  std::optional<os::EpollLoop::TimerId> timer_;
  std::vector<std::vector<plan::Plan>> known_;  // by place
  std::string complaint_;                       // about the plans, as it was logged last
};

}  // namespace segue::agent
