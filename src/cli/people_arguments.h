// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/arguments.h"
#include "cli/trust_arguments.h"

namespace segue::cli {

// segue person …, webhook …, audit …, emergency-stop
void add_people_commands(CLI::App& program, Arguments& arguments, const AddCommand& add);
// What makes `segue events` and `segue history` speak of the fleet.
void add_fleet_view(CLI::App& app, FleetOptions& options);

}  // namespace segue::cli
