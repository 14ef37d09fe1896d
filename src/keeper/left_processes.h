// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "keeper/saved_state.h"
#include "os/unique_fd.h"

namespace segue::keeper {

// A process of a dead keeper that lives.
struct LeftProcess {
  SavedProcess saved;
  os::UniqueFd pidfd;
};

// Those of `processes` that are still the same ones: a pid alone is used again.
std::vector<LeftProcess> living_of(const std::vector<SavedProcess>& processes);

}  // namespace segue::keeper
