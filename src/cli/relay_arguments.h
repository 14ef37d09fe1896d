// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/trust_arguments.h"

namespace segue::cli {

// relay, and relay status.
void add_relay_commands(Arguments& arguments, const AddCommand& add);

}  // namespace segue::cli
