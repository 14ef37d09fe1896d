// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "agent/child_run.h"
#include "base/log.h"
#include "os/clock.h"
#include "os/epoll_loop.h"

namespace segue::agent {

// Reports that wait on disk until they are delivered: by a command, or to a directory. What fails
// is tried again, later and later; a report may be delivered twice, under the same name.
class Outbox {
 public:
  static constexpr std::size_t kMaxReports = 1'000;  // beyond them the oldest is lost, and said so
  static constexpr base::Duration kFirstRetry = std::chrono::seconds(5);
  static constexpr base::Duration kMaxRetry = std::chrono::minutes(10);
  static constexpr base::Duration kCommandLimit = std::chrono::minutes(2);

  struct Settings {
    std::string directory;         // where they wait
    std::string target_directory;  // …
    std::string command;           // … a shell command instead, which finds SEGUE_REPORT, the file
    std::vector<std::string> environment;
  };
  // All outlive it.
  Outbox(os::EpollLoop& loop, const os::Clock& clock, const base::Log& log, Settings settings);
  ~Outbox();
  Outbox(const Outbox&) = delete;
  Outbox& operator=(const Outbox&) = delete;

  // When this returns without an error the report outlives a power failure.
  base::Result<void> keep(const std::string& name, std::string_view report);
  // Tries to deliver what waits, also from earlier.
  void deliver();

 private:
  void deliver_now();
  void delivered();
  void failed(const std::string& why);
  void try_again_at(base::MonotonicTime at);
  void make_room();

  os::EpollLoop& loop_;
  const os::Clock& clock_;
  const base::Log& log_;
  Settings settings_;
  std::unique_ptr<ChildRun> run_;
  std::string delivering_;    // the name of what is on its way
  bool is_replaced_ = false;  // … and that another was kept under it meanwhile
  std::optional<os::EpollLoop::TimerId> timer_;
  base::Duration delay_ = kFirstRetry;
};

}  // namespace segue::agent
