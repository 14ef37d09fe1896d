// SPDX-License-Identifier: Apache-2.0
// What a keeper makes of the instances that a dead keeper has left. Pure.
#pragma once

#include <string>
#include <vector>

#include "keeper/component_snapshot.h"

namespace segue::keeper {

// An instance of the dead keeper that lives.
struct FoundInstance {
  Generation generation = 0;
  std::int32_t pid = 0;
  bool rejoined = false;  // it serves, takes part in no handoff, and has a channel again
  std::string service;    // as it says now, if it rejoined
  std::string version;
  std::uint64_t connections = 0;
  std::uint64_t abilities = 0;
  std::string forms = {};
};

struct AdoptionPlan {
  ComponentSnapshot component;     // to go on with: it serves, with `owner` as its owner
  std::vector<Attempt> concluded;  // attempts that were under way, with what they came to
};

// `saved` is what the dead keeper wrote down last, `owner` who owns by the ownership page and has
// rejoined. Whoever else lives is to end: an owner outside a handoff has no use for it.
AdoptionPlan plan_adoption(ComponentSnapshot saved, const std::vector<FoundInstance>& found,
                           Generation owner, MonotonicTime now);

}  // namespace segue::keeper
