// SPDX-License-Identifier: Apache-2.0
// What the command line says to `segue plan`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace segue::cli {

struct PlanOptions {
  std::string directory;  // empty: that of this user
  std::string id;
  std::string component;
  std::string version;
  std::string at;
  std::vector<std::string> sites;  // NAME=ZONE
  std::vector<std::string> windows;
  std::vector<std::string> freezes;  // FROM..TO=REASON
  std::string missed = "skip";
  std::uint32_t late_limit_s = 600;
  std::uint32_t staging_estimate_s = 1'800;
  std::uint32_t publishing_freeze_s = 600;
  std::uint32_t go_live_limit_s = 900;
  std::string reason;
  std::string into;                     // fetch: a directory
  std::vector<std::string> components;  // …
};

}  // namespace segue::cli
