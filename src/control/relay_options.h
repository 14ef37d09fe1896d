// SPDX-License-Identifier: Apache-2.0
// What the command line says to `segue relay`.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "control/exit_code.h"

namespace segue::control {

struct RelayOptions {
  std::string site = "default";
  std::string name;                     // empty: this host's
  std::vector<std::string> members;     // NAME=URL, this one too; none: it is alone
  std::string members_file;             // the same, one per line
  std::string origin;                   // the library's URL, over the line
  std::vector<std::string> listen;      // ADDRESS:PORT; none: 127.0.0.1:7411
  std::string cache;                    // a directory; empty: that of this user
  std::vector<std::string> line_rates;  // RATE, or WINDOW=RATE; none: as fast as it goes
  std::string zone;                     // of the windows; empty: this host's
  std::uint64_t cache_max_mib = 10'240;
  std::uint64_t object_max_mib = 16'384;
  std::uint32_t metadata_max_age_s = 2;
  std::uint32_t max_connections = 256;
  bool dry_run = false;
};

// … to `segue relay agents`.
struct AgentRelayOptions {
  std::string join;  // a token; empty: it has joined already
  std::string name;  // empty: this host's, and "-relay"
  std::string site = "default";
  std::string listen = "127.0.0.1:7445";
  std::string state;  // a directory; empty: that of this user
  std::uint32_t max_agents = 2'000;
  bool dry_run = false;
};

struct RelayEnd {
  ExitCode exit = ExitCode::done;
  std::string text;
};

// How the program hands `segue relay` to what does it; `say` gets a line for a person when it
// listens, and a JSON object for a tool.
using SayRelay = std::function<void(const std::string& text, const std::string& object)>;
using RunRelay =
    std::function<base::Result<RelayEnd>(const RelayOptions& options, const SayRelay& say)>;

using RunAgentRelay =
    std::function<base::Result<RelayEnd>(const AgentRelayOptions& options, const SayRelay& say)>;

}  // namespace segue::control
