// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/trust_arguments.h"

namespace segue::cli {

// `segue check`, `segue import`.
void add_service_commands(Arguments& arguments, const AddCommand& add);

}  // namespace segue::cli
