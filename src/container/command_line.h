// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "control/container_options.h"

namespace segue::container {

struct CommandLine {
  control::ContainerOptions options;
  std::vector<std::string> arguments;  // for the image's program; empty: the image's own
  bool resolves = false;               // say which image it is, and start nothing
  bool works = false;                  // this is the process that a first one has started
  bool help = false;
};

// segue-container --image=IMAGE [--KEY=VALUE...] [-- ARGUMENT...]; without argv[0].
inline constexpr std::string_view kWorkWord = "--work";
base::Result<CommandLine> parse_command_line(std::span<const std::string> words);

std::string usage_text();

}  // namespace segue::container
