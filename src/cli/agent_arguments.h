// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/trust_arguments.h"

namespace segue::cli {

// `segue agent`.
void add_agent_command(CLI::App& program, Arguments& arguments, const AddCommand& add);

}  // namespace segue::cli
