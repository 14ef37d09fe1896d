// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/error.h"

namespace segue::level1 {

struct CommandLine {
  std::uint32_t freeze_ms = 5;  // the longest wait for FROZEN
  std::uint32_t start_ms = 30'000;
  std::uint32_t end_ms = 5'000;
  bool help = false;
  std::vector<std::string> program;
};

// segue-level1 [--KEY=N...] -- PROGRAM ARGUMENT...; without argv[0].
base::Result<CommandLine> parse_command_line(const std::vector<std::string>& words);

std::string usage_text();

}  // namespace segue::level1
