// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/trust_arguments.h"

namespace segue::cli {

// `segue publish`, `releases`, `diff`, `gc`, `pin`, `renew`, `server`.
void add_library_commands(Arguments& arguments, const AddCommand& add);

}  // namespace segue::cli
