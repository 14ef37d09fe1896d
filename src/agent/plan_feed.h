// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/child_run.h"
#include "base/log.h"
#include "os/clock.h"
#include "os/epoll_loop.h"
#include "plans/plan_folder.h"

namespace segue::agent {

// The plans of one release library, kept on this host: `segue plan fetch` brings them again and
// again, so that what reads foreign bytes is a process of its own. What was fetched once stays when
// the library cannot be reached any more; how old it may be is said when it was long ago.
class PlanFeed {
 public:
  static constexpr base::Duration kFetchLimit = std::chrono::minutes(10);
  static constexpr base::Duration kAlarmAgain = std::chrono::hours(24);

  struct Settings {
    std::string library;                // a URL or a directory
    std::string directory;              // its own
    std::function<std::string()> root;  // a file to trust at first; "": none
    std::vector<std::string> components;
    std::string segue;  // the program's file
    std::vector<std::string> environment;
    base::Duration interval{};
    base::Duration alarm_after{};  // without having had everything
  };
  using OnAlarm = std::function<void(const std::string& text)>;

  // All outlive it. An error: the directory cannot be used.
  static base::Result<std::unique_ptr<PlanFeed>> open(os::EpollLoop& loop, const os::Clock& clock,
                                                      const base::Log& log, Settings settings,
                                                      OnAlarm on_alarm);
  ~PlanFeed();
  PlanFeed(const PlanFeed&) = delete;
  PlanFeed& operator=(const PlanFeed&) = delete;

  void start();
  // What is here, as fetched last.
  [[nodiscard]] base::Result<plans::PlanFolder::Contents> read() const { return folder_.read(); }
  [[nodiscard]] const std::string& library() const { return settings_.library; }
  [[nodiscard]] const std::string& directory() const { return settings_.directory; }

  // Where a feed of the library has its plans, below the agent's directory.
  static std::string directory_of(const std::string& state, const std::string& library);

 private:
  PlanFeed(os::EpollLoop& loop, const os::Clock& clock, const base::Log& log, Settings settings,
           OnAlarm on_alarm);
  void fetch();
  void fetched(const ChildRun::Result& result);
  void review_age();

  os::EpollLoop& loop_;
  const os::Clock& clock_;
  const base::Log& log_;
  Settings settings_;
  OnAlarm on_alarm_;
  plans::PlanFolder folder_;
  std::unique_ptr<ChildRun> run_;
  std::optional<os::EpollLoop::TimerId> timer_;
  base::RealTime began_{};  // with it: nothing was fetched before
  std::string complaint_;   // why the last one failed, as it was logged
  std::optional<base::MonotonicTime> alarmed_;
};

}  // namespace segue::agent
