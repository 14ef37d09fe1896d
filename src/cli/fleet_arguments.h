// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/trust_arguments.h"

namespace segue::cli {

// deploy, rollout …, hosts, ps, drain, token.
void add_fleet_commands(CLI::App& program, Arguments& arguments, const AddCommand& add);

}  // namespace segue::cli
