// SPDX-License-Identifier: Apache-2.0
#include "agent/command.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <nlohmann/json.hpp>

#include "agent/agent.h"
#include "agent/fleet_halves.h"
#include "agent/places_file.h"
#include "fleet/join_token.h"
#include "membership/joining.h"
#include "os/file_lock.h"
#include "os/files.h"
#include "os/paths.h"
#include "os/random.h"
#include "plans/system_zones.h"
#include "tuf/metadata.h"

extern char** environ;

namespace segue::agent {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using control::AgentOptions;
using control::PlaceOptions;

constexpr std::size_t kIncarnationDigits = 16;

bool keeps_plans(const AgentOptions& options) {
  return !options.places.empty() || !options.place.component.empty();
}

Result<std::vector<PlaceOptions>> places_of(const AgentOptions& options) {
  if (options.places.empty()) {
    std::vector<PlaceOptions> places = {options.place};
    SEGUE_TRY(check_places(places));
    return places;
  }
  SEGUE_ASSIGN(const std::string bytes, os::read_file(options.places, kMaxPlacesBytes));
  auto places = read_places(bytes);
  if (places) return places;
  return fail(std::move(places).error().with(options.places));
}

std::string host_name() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "unknown";
  return name.data();
}

std::vector<std::string> own_environment() {
  std::vector<std::string> environment;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    environment.emplace_back(*variable);
  }
  return environment;
}

std::string own_file() {
  std::array<char, PATH_MAX> path{};
  const ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size() - 1);
  return length > 0 ? std::string(path.data(), static_cast<std::size_t>(length)) : "segue";
}

Result<Agent::Settings> settings_of(const AgentOptions& options) {
  SEGUE_ASSIGN(const os::Directories directories, os::directories());
  Agent::Settings settings;
  SEGUE_ASSIGN(settings.places, places_of(options));
  settings.plans = options.plans.empty() ? directories.state + "/plans" : options.plans;
  settings.state = options.state.empty() ? directories.state + "/agent" : options.state;
  settings.fetches_plans = options.plans.empty();
  settings.fetch_interval = std::chrono::seconds(options.fetch_plans_s);
  settings.plans_alarm_after = std::chrono::seconds(options.plans_alarm_s);
  settings.report_command = options.report_command;
  settings.host = host_name();
  settings.environment = own_environment();
  settings.segue = own_file();
  settings.unsafe_fault = options.unsafe_fault;
  settings.kill_self = [] { ::kill(::getpid(), SIGKILL); };
  return settings;
}

Result<os::FileLock> lock_state(const std::string& directory) {
  SEGUE_TRY(os::ensure_private_directory(directory));
  auto lock = os::FileLock::acquire(directory + "/lock", "segue agent", base::Duration(0));
  if (lock) return lock;
  return fail(ErrorCode::failed_precondition,
              "another agent runs with {}: end it, or choose another --state ({})", directory,
              lock.error().message());
}

// What the places would do, from what is kept and what is planned.
Result<void> describe(const Agent::Settings& settings, const plan::Zones& zones,
                      const control::PrintAnswer& print) {
  SEGUE_ASSIGN(const auto own, plans::PlanFolder(settings.plans).read());
  for (const auto& place : settings.places) {
    std::size_t count = 0;
    plans::PlanFolder::Contents contents;
    if (settings.fetches_plans) {
      const std::string fetched = PlanFeed::directory_of(settings.state, place.library);
      SEGUE_ASSIGN(contents, plans::PlanFolder(fetched).read());
    }
    contents.plans.insert(contents.plans.end(), own.plans.begin(), own.plans.end());
    for (const auto& plan : contents.plans) {
      const plan::Site* site = plan.site(place.site);
      if (plan.component != place.component || site == nullptr || plan.cancelled) continue;
      SEGUE_ASSIGN(const std::string local, plan::local_text(zones, site->zone, site->at));
      ++count;
      print(fmt::format("{}: {} goes live in {} at {}", plan.id, plan.version, place.place, local),
            nlohmann::json{{"component", place.component},
                           {"place", place.place},
                           {"plan", plan.id},
                           {"version", plan.version},
                           {"at", tuf::to_string(site->at)},
                           {"local", local}}
                .dump());
    }
    if (count == 0) {
      print(fmt::format("{}: nothing is planned for site {}", place.component, place.site),
            nlohmann::json{{"component", place.component}, {"plan", nullptr}}.dump());
    }
  }
  return {};
}

FleetHalves::Settings fleet_settings(const AgentOptions& options, std::string directory,
                                     const os::Directories& directories) {
  FleetHalves::Settings settings{.directory = std::move(directory),
                                 .user = options.user,
                                 .segue = own_file(),
                                 .runtime = directories.runtime,
                                 .state = directories.state,
                                 .engine = options.engine,
                                 .environment = own_environment(),
                                 .incarnation = os::random_hex(kIncarnationDigits),
                                 .boot_id = os::boot_id(),
                                 .observe_only = options.observe_only,
                                 .relays = options.relays,
                                 .direct = options.direct};
  if (!options.join.empty()) {
    settings.join = membership::JoinWish{.token = options.join,
                                         .host = options.name.empty() ? host_name() : options.name,
                                         .site = options.place.site,
                                         .labels = options.labels,
                                         .relays = options.relays,
                                         .direct = options.direct};
  }
  return settings;
}

// What a fleet's agent would do.
Result<void> describe(const AgentOptions& options, const std::string& directory,
                      const control::PrintAnswer& print) {
  const membership::MembershipFiles files(FleetHalves::line_directory(directory) + "/membership");
  SEGUE_ASSIGN(const auto membership, files.read());
  std::string host = options.name.empty() ? host_name() : options.name;
  std::string server;
  if (membership) {
    host = membership->host;
    server = membership::routes_of(*membership).front().address;
  } else {
    SEGUE_ASSIGN(const auto token, fleet::parse_join_token(options.join));
    server = options.relays.empty() ? token.servers.front() : options.relays.front();
  }
  print(fmt::format("{} would {} {}", host, membership ? "obey" : "join the fleet of", server),
        nlohmann::json{{"host", host}, {"server", server}, {"joined", membership.has_value()}}
            .dump());
  return {};
}

}  // namespace

Result<void> run_command(const AgentOptions& options, const control::PrintAnswer& print) {
  SEGUE_ASSIGN(const os::Directories directories, os::directories());
  const std::string state = options.state.empty() ? directories.state + "/agent" : options.state;
  const bool plans = keeps_plans(options);
  const plans::SystemZones zones;
  std::optional<Agent::Settings> settings;
  if (plans) {
    SEGUE_ASSIGN(settings, settings_of(options));
    if (options.dry_run) return describe(*settings, zones, print);
  }
  const std::string fleet = state + "/fleet";
  const bool in_fleet = FleetHalves::has_joined(fleet) || !options.join.empty();
  if (!plans && !in_fleet) {
    return fail(ErrorCode::failed_precondition,
                "there is nothing to do: name a component and its place, or join a fleet with "
                "--join TOKEN (`segue token` makes one)");
  }
  if (options.dry_run) return describe(options, fleet, print);
  SEGUE_ASSIGN(const os::FileLock lock, lock_state(state));
  SEGUE_ASSIGN(const os::UniqueFd signals, os::signal_fd({SIGTERM, SIGINT}));
  const os::SystemClock clock;
  const base::Log log({.now = [&clock] { return clock.realtime_now(); }});
  SEGUE_ASSIGN(os::EpollLoop loop, os::EpollLoop::create(clock));
  SEGUE_TRY(loop.watch(signals.get(), EPOLLIN, [&loop](std::uint32_t) { loop.stop(); }));
  std::optional<base::Error> end;
  std::unique_ptr<FleetHalves> halves;  // before any thread
  if (in_fleet) {
    SEGUE_ASSIGN(halves,
                 FleetHalves::start(loop, clock, log, fleet_settings(options, fleet, directories),
                                    [&](const base::Error& why) {
                                      end = why;
                                      loop.stop();
                                    }));
  }
  std::unique_ptr<Agent> agent;
  if (plans) {
    SEGUE_ASSIGN(agent, Agent::open(loop, clock, log, zones, *settings));
    SEGUE_TRY(agent->start());
  }
  log.info("agent.started", {{"places", plans ? settings->places.size() : 0}});
  SEGUE_TRY(loop.run());
  if (end) return fail(*end);
  log.info("agent.ends");
  return {};
}

}  // namespace segue::agent
