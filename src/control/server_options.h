// SPDX-License-Identifier: Apache-2.0
// What the command line says to `segue server`.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/error.h"
#include "control/exit_code.h"

namespace segue::control {

struct ServerOptions {
  std::string library;  // serves that alone; empty: leads a fleet
  std::string listen;   // ADDRESS:PORT; [ADDRESS]:PORT for IPv6
  std::uint32_t max_connections = 256;
  std::uint32_t idle_s = 30;
  bool dry_run = false;

  // Of a fleet
  std::string agents = "127.0.0.1:7443";  // where agents attach
  std::string advertise;                  // how agents reach this host; empty: its name
  std::string name;                       // among several servers; empty: the host's
  std::string state;                      // a directory; empty: that of this user
  std::string store;                      // as store::parse_location(); empty: below `state`
  std::uint32_t certificate_hours = 24;   // of hosts
};
inline constexpr const char* kLibraryListen = "127.0.0.1:8080";
inline constexpr const char* kPeopleListen = "127.0.0.1:7444";

// The last word of the server, when it ends.
struct ServerEnd {
  ExitCode exit = ExitCode::done;
  std::string text;
};

// How the program hands `segue server` to what does it; `say` gets a line for a person when it
// listens, and a JSON object for a tool.
using SayServer = std::function<void(const std::string& text, const std::string& object)>;
using RunServer =
    std::function<base::Result<ServerEnd>(const ServerOptions& options, const SayServer& say)>;

}  // namespace segue::control
