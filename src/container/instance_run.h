// SPDX-License-Identifier: Apache-2.0
// One instance in a container, from its image to the removal of the container.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/log.h"
#include "container/command_line.h"
#include "container/container_of_instance.h"
#include "container/lifecycle.h"
#include "container/meeting.h"
#include "os/clock.h"
#include "os/epoll_loop.h"
#include "os/process.h"
#include "runtime/engine.h"

namespace segue::container {

class InstanceRun {
 public:
  // How often, and how long, something is tried that only a running engine can do.
  static constexpr base::Duration kTryAgain = std::chrono::milliseconds(200);
  static constexpr base::Duration kKillLimit = std::chrono::minutes(1);
  static constexpr base::Duration kCollectLimit = std::chrono::seconds(10);
  static constexpr base::Duration kRemoveLimit = std::chrono::minutes(1);
  static constexpr base::Duration kOutputLimit = std::chrono::seconds(2);  // for its last words
  static constexpr std::size_t kMaxLeftovers = 64;                         // cleared by one look
  static constexpr base::Duration kLookAgain = std::chrono::seconds(10);   // once it serves
  static constexpr int kNotStarted = 125;  // as other starters of containers say

  // All outlive it. `starter` is readable once the process that waits for this one is gone. Without
  // an `inheritance` the program does not link libsegue: `signals` are passed on to it, and it ends
  // with its starter.
  InstanceRun(os::EpollLoop& loop, const os::Clock& clock, runtime::ContainerEngine& engine,
              const base::Log& log, CommandLine line, Place place, Inheritance inheritance,
              os::UniqueFd starter, os::UniqueFd signals);
  ~InstanceRun();
  InstanceRun(const InstanceRun&) = delete;
  InstanceRun& operator=(const InstanceRun&) = delete;

  // Blocks until the container is gone. The exit code of the instance, or kNotStarted.
  base::Result<int> run();

 private:
  void advance(StepEvent event);
  void begin_step();
  // Calls `step` again, unless the limit of this step has passed.
  void try_again(base::Duration limit, void (InstanceRun::*step)());
  void fail_step(const base::Error& error);

  void look_for_others();
  void look_at_image();
  void create();
  void start();
  void look_at_container();
  void offer();
  void kill();
  void collect();
  void hear_out();
  void remove();
  void end();

  void clear_leftovers();
  void clear_leftover(const runtime::ContainerSummary& found);
  void remove_leftover(const std::string& container);
  void watch_first_process(pid_t pid);
  void begin_to_serve();
  void on_signal();
  void watch_what_wants_it();
  void forget_what_wants_it();
  void on_channel();
  void on_connection();
  void follow_output(std::optional<base::RealTime> since);
  void describe() const;

  os::EpollLoop& loop_;
  const os::Clock& clock_;
  runtime::ContainerEngine& engine_;
  const base::Log& log_;
  CommandLine line_;
  Place place_;
  Inheritance inheritance_;
  os::UniqueFd starter_;
  os::UniqueFd signals_;
  const bool links_libsegue_;
  std::optional<Meeting> meeting_;
  Lifecycle lifecycle_;
  base::MonotonicTime step_began_{};

  std::string image_id_;
  std::string container_;
  pid_t first_process_ = 0;
  os::UniqueFd pidfd_;  // of that
  std::optional<int> exit_code_;
  bool was_started_ = false;
  bool over_ = false;

  runtime::CallHandle call_;    // of the step
  runtime::CallHandle output_;  // followed
  std::vector<runtime::CallHandle> clearing_;
};

}  // namespace segue::container
