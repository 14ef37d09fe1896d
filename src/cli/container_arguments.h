// SPDX-License-Identifier: Apache-2.0
// --container IMAGE and what belongs to it.
#pragma once

#include <CLI/CLI.hpp>

#include "cli/arguments.h"

namespace segue::cli {

// Of a command that takes a PROGRAM.
void add_container_options(CLI::App& app, Arguments& arguments);

}  // namespace segue::cli
