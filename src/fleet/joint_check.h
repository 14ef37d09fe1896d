// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "fleet/component_check.h"
#include "fleet/strategy.h"

namespace segue::fleet {

// What a component and the strategy of its rollout have to agree on; each passed its own check.
// Fields as segue.yaml calls them, below the component: "rollout.canary.split", "listen".
std::vector<ComponentProblem> problems_between(const ComponentSpec& spec, const Strategy& strategy);
// invalid_argument: the first of them, "FIELD: TEXT".
base::Result<void> check_together(const ComponentSpec& spec, const Strategy& strategy);

}  // namespace segue::fleet
