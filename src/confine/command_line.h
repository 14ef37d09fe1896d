// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

#include "control/confinement_options.h"

namespace segue::confine {

struct CommandLine {
  control::ConfinementOptions options;
  std::vector<std::string> program;
  bool checks = false;  // say whether it could be done, and start nothing
  bool help = false;
};

// segue-confine [--KEY=VALUE...] -- PROGRAM [ARGUMENT...]; without argv[0].
base::Result<CommandLine> parse_command_line(std::span<const std::string> words);

std::string usage_text();

}  // namespace segue::confine
