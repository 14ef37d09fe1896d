// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/trust_arguments.h"

namespace segue::cli {

// `segue build …`.
void add_build_commands(CLI::App& program, Arguments& arguments, const AddCommand& add);

}  // namespace segue::cli
