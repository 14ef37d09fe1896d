// SPDX-License-Identifier: Apache-2.0
// segue.yaml: one component, as `segue run --file` and `segue upgrade --file` take it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "cli/arguments.h"
#include "control/options.h"

namespace segue::cli {

inline constexpr std::size_t kMaxComponentFileBytes = std::size_t{64} << 10;

struct ComponentFile {
  std::string name;
  std::vector<std::string> command;
  std::string directory;         // empty: the file's own
  std::vector<std::string> env;  // NAME=value
  control::ContractOptions contract;
  control::RunOptions run;
  control::AttemptOptions attempt;  // its health checks, the time for its start, on_crash
};

// `path` is for messages. A key that is not known is refused, with its line and the nearest one
// that is.
base::Result<ComponentFile> parse_component_file(const std::string& path, const std::string& text);
base::Result<ComponentFile> read_component_file(const std::string& path);

// What the file of --file says takes the place of the command line's; where none is named, nothing
// happens. Of an upgrade only the program, the health checks and on_crash are taken.
base::Result<void> apply_component_file(Arguments& arguments);

}  // namespace segue::cli
