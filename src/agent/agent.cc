// SPDX-License-Identifier: Apache-2.0
#include "agent/agent.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

namespace segue::agent {

using base::Result;

namespace {

// The root that a place was given, or has from its first staging: what it takes releases under it
// may take plans under.
std::string root_of_place(const control::PlaceOptions& place) {
  if (!place.root.empty()) return place.root;
  constexpr std::string_view kOption = "--root=";
  for (const auto& option : place.stage_options) {
    if (option.starts_with(kOption)) return option.substr(kOption.size());
  }
  const std::string trusted = place.place + "/.segue/metadata/root.json";
  return ::access(trusted.c_str(), R_OK) == 0 ? trusted : "";
}

std::string root_of(const std::vector<control::PlaceOptions>& places, const std::string& library) {
  for (const auto& place : places) {
    if (place.library != library) continue;
    if (std::string root = root_of_place(place); !root.empty()) return root;
  }
  return "";
}

}  // namespace

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
  agent->known_.resize(agent->places_.size());
  if (settings.fetches_plans) SEGUE_TRY(agent->open_feeds());
  SEGUE_TRY(loop.watch(agent->clock_changes_.fd(), EPOLLIN, [self = agent.get()](std::uint32_t) {
    self->clock_changes_.acknowledge();
    self->log_.info("clock.changed");
    for (const auto& place : self->places_) place->give(plan::TimePassed{});
  }));
  return agent;
}

Result<void> Agent::open_feeds() {
  std::map<std::string, PlanFeed::Settings> by_library;
  for (const auto& place : settings_.places) {
    PlanFeed::Settings& feed = by_library[place.library];
    feed.library = place.library;
    feed.components.push_back(place.component);
  }
  for (auto& [library, feed] : by_library) {
    feed.root = [this, name = library] { return root_of(settings_.places, name); };
    feed.directory = PlanFeed::directory_of(settings_.state, library);
    feed.segue = settings_.segue;
    feed.environment = settings_.environment;
    feed.interval = settings_.fetch_interval;
    feed.alarm_after = settings_.plans_alarm_after;
    SEGUE_ASSIGN(auto opened, PlanFeed::open(loop_, clock_, log_, std::move(feed),
                                             [this, name = library](const std::string& text) {
                                               raise_alarm(name, text);
                                             }));
    feeds_.push_back(std::move(opened));
  }
  return {};
}

Result<void> Agent::start() {
  for (const auto& place : places_) place->start();
  outbox_.deliver();
  for (const auto& feed : feeds_) feed->start();
  read_plans();
  return {};
}

void Agent::read_plans() {
  std::string complaint;
  std::vector<plan::Plan> own;
  gather(folder_.directory(), folder_.read(), own, complaint);
  std::map<std::string, std::vector<plan::Plan>> fetched;
  for (const auto& feed : feeds_) {
    gather(feed->directory(), feed->read(), fetched[feed->library()], complaint);
  }
  complain(complaint);
  for (std::size_t i = 0; i < places_.size(); ++i) {
    // What was signed counts where both have a plan of that name.
    std::vector<plan::Plan> plans = fetched[places_[i]->place().library];
    for (const auto& plan : own) {
      if (std::ranges::find(plans, plan.id, &plan::Plan::id) == plans.end()) plans.push_back(plan);
    }
    if (plans == known_[i]) continue;
    known_[i] = std::move(plans);
    places_[i]->give(plan::PlansRead{known_[i]});
  }
  const auto timer =
      loop_.call_at(clock_.monotonic_now() + kReadInterval, [this] { read_plans(); });
  if (timer) timer_ = *timer;
}

void Agent::gather(const std::string& directory, Result<plans::PlanFolder::Contents> contents,
                   std::vector<plan::Plan>& plans, std::string& complaint) {
  if (!contents) {
    complaint += directory + ": " + contents.error().to_string() + "; ";
    return;
  }
  plans = std::move(contents->plans);
  for (const auto& [file, error] : contents->unreadable) {
    complaint += directory + "/" + file + ": " + error.to_string() + "; ";
  }
}

// Once, and not with each reading.
void Agent::complain(const std::string& complaint) {
  if (complaint == complaint_) return;
  complaint_ = complaint;
  if (!complaint.empty()) log_.error("plans.unreadable", {{"error", complaint}});
}

void Agent::raise_alarm(const std::string& library, const std::string& text) {
  log_.warning("plans.alarm", {{"library", library}, {"text", text}});
  const nlohmann::json alarm{{"segue_report", 1},
                             {"library", library},
                             {"host", settings_.host},
                             {"outcome", "alarm"},
                             {"text", text}};
  const auto kept =
      outbox_.keep(plans::report_file_name("plans", "all", settings_.host + ",alarm"),
                   alarm.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  if (!kept) log_.error("report.not_kept", {{"error", kept.error().to_string()}});
}

}  // namespace segue::agent
