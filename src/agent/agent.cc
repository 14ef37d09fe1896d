// SPDX-License-Identifier: Apache-2.0
#include "agent/agent.h"

#include <sys/epoll.h>

#include <utility>

namespace segue::agent {

using base::Result;

Agent::Agent(os::EpollLoop& loop, const os::Clock& clock, const base::Log& log, Settings settings,
             os::ClockChanges clock_changes)
    : loop_(loop),
      clock_(clock),
      log_(log),
      settings_(std::move(settings)),
      clock_changes_(std::move(clock_changes)),
      folder_(settings_.plans),
      outbox_(loop, clock, log,
              Outbox::Settings{.directory = settings_.state + "/outbox",
                               .target_directory = folder_.report_directory(),
                               .command = settings_.report_command,
                               .environment = settings_.environment}) {}

Agent::~Agent() {
  if (timer_) loop_.cancel(*timer_);
  loop_.unwatch(clock_changes_.fd());
}

Result<std::unique_ptr<Agent>> Agent::open(os::EpollLoop& loop, const os::Clock& clock,
                                           const base::Log& log, const plan::Zones& zones,
                                           const Settings& settings) {
  SEGUE_ASSIGN(os::ClockChanges changes, os::ClockChanges::watch());
  std::unique_ptr<Agent> agent(new Agent(loop, clock, log, settings, std::move(changes)));
  const AgentParts parts{.loop = loop,
                         .clock = clock,
                         .log = log,
                         .zones = zones,
                         .outbox = agent->outbox_,
                         .host = settings.host,
                         .environment = settings.environment,
                         .segue = settings.segue,
                         .unsafe_fault = settings.unsafe_fault,
                         .kill_self = settings.kill_self};
  for (const auto& place : settings.places) {
    SEGUE_ASSIGN(auto opened,
                 PlaceAgent::open(parts, place, settings.state + "/places/" + place.component));
    agent->places_.push_back(std::move(opened));
  }
  SEGUE_TRY(loop.watch(agent->clock_changes_.fd(), EPOLLIN, [self = agent.get()](std::uint32_t) {
    self->clock_changes_.acknowledge();
    self->log_.info("clock.changed");
    for (const auto& place : self->places_) place->give(plan::TimePassed{});
  }));
  return agent;
}

Result<void> Agent::start() {
  for (const auto& place : places_) place->start();
  outbox_.deliver();
  read_plans();
  return {};
}

void Agent::read_plans() {
  auto contents = folder_.read();
  if (contents) {
    report_unreadable(contents->unreadable);
    if (contents->plans != known_) {
      known_ = std::move(contents->plans);
      for (const auto& place : places_) place->give(plan::PlansRead{known_});
    }
  } else {
    report_unreadable({{folder_.directory(), std::move(contents).error()}});
  }
  const auto timer =
      loop_.call_at(clock_.monotonic_now() + kReadInterval, [this] { read_plans(); });
  if (timer) timer_ = *timer;
}

// Once, and not with each reading.
void Agent::report_unreadable(const std::vector<plans::PlanFolder::Unreadable>& files) {
  std::string complaint;
  for (const auto& [file, error] : files) complaint += file + ": " + error.to_string() + "; ";
  if (complaint == complaint_) return;
  complaint_ = complaint;
  if (!complaint.empty()) log_.error("plans.unreadable", {{"error", complaint}});
}

}  // namespace segue::agent
