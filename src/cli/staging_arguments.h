// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/trust_arguments.h"

namespace segue::cli {

// `segue stage`, `segue go-live` and `segue verify`.
void add_staging_commands(Arguments& arguments, const AddCommand& add);

}  // namespace segue::cli
