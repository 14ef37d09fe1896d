// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "control/agent_options.h"
#include "plan/zones.h"

namespace segue::agent {

// The command lines that bring a tree to a place and let it go live. They are commands of `segue`
// itself, so that what reads foreign bytes is a process of its own, and one that hangs can be
// ended.
class TreeCommands {
 public:
  // `segue` is the program's own file.
  TreeCommands(std::string segue, const control::PlaceOptions& place)
      : segue_(std::move(segue)), place_(place) {}

  [[nodiscard]] std::vector<std::string> stage(const std::string& version,
                                               std::optional<plan::Instant> go_live_at) const;
  // Makes sure that it is live, also if it was before.
  [[nodiscard]] std::vector<std::string> go_live(const std::string& version) const;
  // Makes sure that `version` is not live, but what was before it.
  [[nodiscard]] std::vector<std::string> go_back(const std::string& version) const;

 private:
  std::string segue_;
  const control::PlaceOptions& place_;
};

}  // namespace segue::agent
