// SPDX-License-Identifier: Apache-2.0
// How a unit of systemd comes to run under Segue: by a drop-in that runs its command under a keeper
// and leaves its user, environment, limits and sandbox as they are. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/unit_file.h"

namespace segue::cli {

inline constexpr std::string_view kDropInName = "segue.conf";

struct UnitFacts {
  std::string unit;                  // "redis-server.service", "worker@a.service"
  std::vector<UnitSource> sources;   // its file and drop-ins, without the one that adopt writes
  std::vector<std::string> sockets;  // the .socket units that start it
};

struct Adoption {
  std::string component;
  std::string drop_in;
  std::vector<std::string> notes;  // what is different from now on, for people
};

// "redis" is "redis.service"; invalid_argument where it cannot be the name of one service.
base::Result<std::string> service_unit_name(const std::string& name);

struct AdoptionOptions {
  std::string component;                     // its name under Segue; empty: the unit's
  std::string segue = "/usr/bin/segue";      // the program's absolute path
  std::vector<std::string> run_options;      // more options of `segue run`, …
  std::vector<std::string> upgrade_options;  // … and of `segue upgrade`: --KEY or --KEY=VALUE
  std::string upgrade;                       // a control::Contract; empty: as the unit shows
};

// failed_precondition names everything about the unit that would be lost; invalid_argument is about
// `options`.
base::Result<Adoption> adopt_unit(const UnitFacts& facts, const AdoptionOptions& options = {});

// Of a drop-in's text: what adopt_unit() wrote, that and then changed by hand, or something else.
enum class Authorship { adopted, edited, foreign };
Authorship authorship_of(std::string_view drop_in);

}  // namespace segue::cli
