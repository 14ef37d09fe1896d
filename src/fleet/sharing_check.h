// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "fleet/component_check.h"

namespace segue::fleet {

// What is wrong with who splits the connections of a component on such hosts; none: nothing.
std::vector<ComponentProblem> problems_of(const Sharing& sharing, const HostSelector& hosts);

}  // namespace segue::fleet
