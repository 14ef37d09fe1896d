// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/library_arguments.h"

namespace segue::cli {

void add_share_command(Arguments& arguments, const AddCommand& add);

}  // namespace segue::cli
