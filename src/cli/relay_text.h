// SPDX-License-Identifier: Apache-2.0
// A relay's state, for a person. Pure; what is missing in it is not shown.
#pragma once

#include <string>
#include <vector>

#include "cli/output.h"

namespace segue::cli {

std::vector<std::string> relay_lines(const Json& state);

}  // namespace segue::cli
