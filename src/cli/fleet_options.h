// SPDX-License-Identifier: Apache-2.0
// What the command line says to the server of a fleet.
#pragma once

#include <cstdint>
#include <string>

namespace segue::cli {

struct FleetOptions {
  std::string profile;  // a file; empty: $SEGUE_PROFILE, or the one of a server on this host
  std::string file = "segue.yaml";
  std::string component;  // of the file; empty: all
  std::string title;
  std::string rollout;
  std::string why;
  bool all = false;
  bool follow = false;
  std::string host;
  bool off = false;
  std::string site;
  std::uint32_t uses = 1;
  std::uint32_t lifetime_s = 3'600;
};

}  // namespace segue::cli
