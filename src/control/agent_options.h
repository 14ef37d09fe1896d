// SPDX-License-Identifier: Apache-2.0
// What the command line says to `segue agent`.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace segue::control {

// A directory on the host where a component's trees stand, and what makes a version serve.
struct PlaceOptions {
  std::string component;
  std::string place;
  std::string site = "default";
  std::string library;                     // a URL or a directory
  std::string root;                        // a file to trust at first; empty: none
  std::vector<std::string> stage_options;  // more options of `segue stage`
  std::string stop;                        // shell commands: closes what runs;
  std::string start;                       // … starts what is live;
  std::string upgrade;  // … hands over to what is live, with the exit codes of `segue upgrade`
  std::string health_command;
  std::string health_tcp;
  std::string health_http;
  std::uint32_t health_within_s = 60;
  std::uint32_t health_good_in_row = 3;
  std::uint32_t step_limit_s = 120;  // of each command
  bool undoes = true;

  bool operator==(const PlaceOptions&) const = default;
};

struct AgentOptions {
  std::string places;  // a file; empty: `place` is the only one
  PlaceOptions place;
  std::string plans;           // a directory; empty: that of this user, and those of the libraries
  std::string state;           // a directory; empty: that of this user
  std::string report_command;  // empty: reports go to the plans directory
  std::uint32_t fetch_plans_s = 60;
  std::uint32_t plans_alarm_s = 3'600;  // without having had all plans of a library
  std::string unsafe_fault;  // STEP:before or STEP:after, where it kills itself; for tests
  bool dry_run = false;

  // As part of a fleet
  std::string join;                  // a token; empty: this host has joined already, or never will
  std::string name;                  // of this host in the fleet; empty: the host's own
  std::vector<std::string> labels;   // NAME=VALUE
  std::vector<std::string> relays;   // HOST:PORT, tried in their order; none: the server itself
  bool direct = false;               // … that, too, where no relay can be reached
  std::string engine;                // of its containers, as unix:///PATH; empty: the usual one
  bool observe_only = false;         // reports, and acts on nothing
  std::string user = "segue-agent";  // that talks with the server
};

// The answer as text and as one JSON object.
using PrintAnswer = std::function<void(std::string_view text, std::string_view json)>;
// How the program hands `segue agent` to what does it; returns when it was asked to end.
using RunAgent =
    std::function<base::Result<void>(const AgentOptions& options, const PrintAnswer& print)>;

}  // namespace segue::control
