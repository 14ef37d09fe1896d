// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "config/sections.h"
#include "fleet/strategy.h"

namespace segue::service {

// What `rollout` says, into `strategy`, each layer over the one before.
void read_rollout(const config::Layers& layers, fleet::Strategy& strategy,
                  config::Findings& findings);

// The tables of keys, for whoever lists them.
config::Keys rollout_keys(fleet::Strategy& strategy, config::Findings& findings);
config::Keys wave_keys(fleet::Wave& wave, fleet::StepLimits& limits, config::Findings& findings);
config::Keys canary_keys(fleet::Strategy& strategy, config::Findings& findings);
config::Keys canary_step_keys(fleet::CanaryStep& step, config::Findings& findings);

// The place in `rollout` of a field as fleet::check() names it: "max_unavailable" for
// "limits.max_unavailable", "waves[0].site" for "waves[0].word".
std::string rollout_place_of(const std::string& field, const fleet::Strategy& strategy);

}  // namespace segue::service
