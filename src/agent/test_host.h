// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "agent/agent.h"
#include "os/files.h"
#include "os/temp_directory.h"
#include "plan/plan_document.h"
#include "plans/system_zones.h"

namespace segue::agent {

// A host with one place. What brings trees to it is a script that keeps the names of versions in
// files, in place of `segue stage` and `segue go-live`, with the same command line and the same
// promises.
class TestHost {
 public:
  static constexpr const char* kSegue = R"(#!/bin/sh
set -e
case $1 in
  plan)
    cp "$4"/plans/*.json "$6"/ 2>"$6/cp.log" || { echo '{"exit":4,"text":"no line"}'; exit 4; } ;;
  stage)
    [ -e "$5/$3" ] || { echo "{\"exit\":4,\"text\":\"no release $3\"}"; exit 4; }
    mkdir -p "$7/staged"; touch "$7/staged/$3" ;;
  go-live)
    live=$(cat "$2/live")
    if [ "$3" = --undo ]; then
      [ "$live" = "$5" ] || exit 0
      new=$(cat "$2/previous")
    else
      [ "$live" != "$3" ] || exit 0
      [ -e "$2/staged/$3" ]
      new=$3
    fi
    [ ! -e "$2/broken" ]
    echo "$live" >"$2/previous.new"; mv "$2/previous.new" "$2/previous"
    echo "$new" >"$2/live.new"; mv "$2/live.new" "$2/live" ;;
esac
)";

  TestHost() {
    write("segue", kSegue);
    std::filesystem::permissions(path("segue"), std::filesystem::perms::owner_all);
    std::filesystem::create_directories(path("place"));
    std::filesystem::create_directories(path("library"));
    write("place/live", "1\n");
    write("place/running", "1\n");
    write("log", "");
    place.component = "chat";
    place.place = path("place");
    place.library = path("library");
    const std::string log = "echo $SEGUE_STEP >>" + path("log") + "; ";
    place.stop = log + "rm -f " + path("place/running");
    place.start = log + "cp " + path("place/live") + " " + path("place/running");
    place.health_command = "cmp " + path("place/live") + " " + path("place/running") +
                           " && ! grep -q bad " + path("place/running");
    place.health_good_in_row = 1;
    place.health_within_s = 20;
  }

  [[nodiscard]] std::string path(const std::string& name) const { return directory_.path(name); }
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name)) << text;
  }
  // Without the end of the line.
  [[nodiscard]] std::string read(const std::string& name) const {
    const auto text = os::read_file(path(name), 1U << 20U);
    return text ? text->substr(0, text->find_last_not_of('\n') + 1) : "";
  }

  void publish(const std::string& version) const { write("library/" + version, ""); }

  // For the site "default", so many seconds from now.
  [[nodiscard]] plan::Plan plan(const std::string& id, const std::string& version,
                                int in_s = 0) const {
    plan::Plan plan;
    plan.id = id;
    plan.component = "chat";
    plan.version = version;
    plan.created = std::chrono::floor<std::chrono::seconds>(clock_.realtime_now());
    plan.sites = {{"default", "UTC", plan.created + std::chrono::seconds(in_s)}};
    return plan;
  }
  void add(const plan::Plan& plan, const std::string& where = "plans") const {
    ASSERT_TRUE(plans::PlanFolder(path(where)).add(plan));
  }

  [[nodiscard]] Agent::Settings settings() const {
    return {.places = {place},
            .plans = path("plans"),
            .fetches_plans = fetches_plans,
            .state = path("state"),
            .report_command = "",
            .host = "host1",
            .environment = {"PATH=/usr/bin:/bin"},
            .segue = path("segue"),
            .unsafe_fault = fault,
            .kill_self = [] { ::kill(::getpid(), SIGKILL); }};
  }

  // Until the plan's report has been delivered; or false, and why not.
  testing::AssertionResult run_until_reported(const std::string& plan,
                                              base::Duration limit = std::chrono::seconds(50)) {
    auto loop = os::EpollLoop::create(clock_);
    const base::Log log({.fd = 2, .level = base::LogLevel::error, .now = nullptr});
    const plans::SystemZones zones;
    auto agent = Agent::open(*loop, clock_, log, zones, settings());
    if (!agent) return testing::AssertionFailure() << agent.error().to_string();
    if (const auto started = (*agent)->start(); !started) {
      return testing::AssertionFailure() << started.error().to_string();
    }
    const auto until = clock_.monotonic_now() + limit;
    while (report(plan).empty()) {
      if (clock_.monotonic_now() > until) return testing::AssertionFailure() << "no report in time";
      if (const auto ran = loop->run_once(std::chrono::milliseconds(50)); !ran) {
        return testing::AssertionFailure() << ran.error().to_string();
      }
    }
    return testing::AssertionSuccess();
  }

  [[nodiscard]] std::string report(const std::string& plan) const {
    return read("plans/reports/" + plan + ",default,host1.json");
  }
  [[nodiscard]] std::string outcome(const std::string& plan) const {
    const auto report_json = nlohmann::json::parse(report(plan), nullptr, false);
    return report_json.is_object() ? report_json.value("outcome", "") : "";
  }

  control::PlaceOptions place;
  std::string fault;
  bool fetches_plans = false;

 private:
  os::TempDirectory directory_;
  os::SystemClock clock_;
};

}  // namespace segue::agent
