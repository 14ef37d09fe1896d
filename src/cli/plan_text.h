// SPDX-License-Identifier: Apache-2.0
// A plan as people and tools read it.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "cli/output.h"
#include "plan/plan.h"
#include "plan/zones.h"

namespace segue::cli {

struct PlanText {
  Json json;                       // the document, its steps and notes
  std::vector<std::string> lines;  // its steps in the order of time
  std::vector<std::string> notes;  // what to look at twice
};

// An error: a site's zone is not known here.
base::Result<PlanText> describe_plan(const plan::Plan& plan, const plan::Zones& zones,
                                     plan::Instant now);

std::string utc_text(plan::Instant instant);  // 2026-12-01 01:00:00Z

}  // namespace segue::cli
