// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/child_run.h"
#include "agent/health_watch.h"
#include "agent/outbox.h"
#include "agent/tree_commands.h"
#include "base/log.h"
#include "control/agent_options.h"
#include "os/clock.h"
#include "os/epoll_loop.h"
#include "plan/decider.h"

namespace segue::agent {

// What every place of a host shares; all of it outlives the places.
struct AgentParts {
  os::EpollLoop& loop;
  const os::Clock& clock;
  const base::Log& log;
  const plan::Zones& zones;
  Outbox& outbox;
  std::string host;
  std::vector<std::string> environment;
  std::string segue;                          // this program's file
  std::string unsafe_fault;                   // STEP:before or STEP:after
  std::function<void()> kill_self = nullptr;  // what such a fault does
};

// The thin shell around one place's decider: keeps its state before it carries out commands, and
// tells it what they came to.
class PlaceAgent {
 public:
  static constexpr base::Duration kStateRetry = std::chrono::seconds(5);
  static constexpr base::Duration kReview = std::chrono::seconds(30);  // at the latest
  static constexpr base::Duration kStagingLimit = std::chrono::hours(24 * 7);

  // `directory` is its own, and made if it is missing. data_loss: its state is damaged.
  static base::Result<std::unique_ptr<PlaceAgent>> open(const AgentParts& parts,
                                                        control::PlaceOptions place,
                                                        std::string directory);
  ~PlaceAgent();
  PlaceAgent(const PlaceAgent&) = delete;
  PlaceAgent& operator=(const PlaceAgent&) = delete;

  // Goes on where the kept state ends.
  void start();
  void give(plan::Event event);

  [[nodiscard]] const plan::PlaceState& state() const { return decider_.state(); }
  [[nodiscard]] const control::PlaceOptions& place() const { return place_; }

 private:
  PlaceAgent(const AgentParts& parts, control::PlaceOptions place, std::string directory,
             plan::PlaceState state);

  [[nodiscard]] plan::Now now() const;
  void work();
  bool decide(const std::function<plan::Commands()>& decision);
  base::Result<void> keep_state();
  void carry_out(const plan::Commands& commands);
  void execute(const plan::Stage& command);
  void execute(const plan::EndStaging& command);
  void execute(const plan::RunStep& command);
  void execute(const plan::Alarm& command);
  void execute(const plan::KeepReport& command);
  void staging_ended(const plan::Stage& command, const ChildRun::Result& result);
  void run_command(const plan::RunStep& command, std::vector<std::string> argv);
  void step_ended(const plan::RunStep& command, plan::StepResult result, const std::string& text);
  void set_timer();
  void fault(plan::Step step, const char* when) const;
  [[nodiscard]] std::vector<std::string> environment_of(const plan::RunStep& command) const;

  AgentParts parts_;
  control::PlaceOptions place_;
  std::string directory_;
  TreeCommands trees_;
  plan::PlaceDecider decider_;
  bool resumed_ = false;
  bool working_ = false;
  std::deque<plan::Event> events_;
  std::unique_ptr<ChildRun> staging_;
  std::unique_ptr<ChildRun> step_;
  std::unique_ptr<HealthWatch> health_;
  std::optional<os::EpollLoop::TimerId> timer_;
};

}  // namespace segue::agent
