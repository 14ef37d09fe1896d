// SPDX-License-Identifier: Apache-2.0
// From a strategy and the hosts as they are to steps, and to which instance moves in which of them.
#pragma once

#include <string>
#include <vector>

#include "rollout/events.h"

namespace segue::rollout {

struct Plan {
  std::vector<Step> steps;
  std::vector<InstanceRecord> records;  // by step, then host
};

// The same hosts come to the same plan, in whatever order they are given. invalid_argument: no
// host, or more than Rollout::kMaxSteps steps.
base::Result<Plan> plan_rollout(const Rollout& rollout, const std::vector<HostFacts>& hosts);

// A sentence about each wave of the strategy that names a site or a label which none of the hosts
// has: it is left out, and its hosts, had they been meant, come with the rest.
std::vector<std::string> waves_left_out(const fleet::Strategy& strategy,
                                        const std::vector<HostFacts>& hosts);

}  // namespace segue::rollout
