// SPDX-License-Identifier: Apache-2.0
// Plans as JSON. What a newer version of the format says is refused as a whole, as is anything that
// is not known: half a plan is none.
//   {"segue_plan": 1, "id": …, "component": …, "version": …, "created": RFC 3339, "at": …,
//    "sites": [{"name": …, "zone": …, "at": RFC 3339 with Z}, …],
//    "windows": ["Mon-Fri 01:00-05:00", …], "freezes": [{"from": …, "to": …, "reason": …}, …],
//    "missed": "skip" | "next-window" | "at-once", "late_limit_s": N, "staging_estimate_s": N,
//    "publishing_freeze_s": N, "go_live_limit_s": N,
//    "cancelled": {"at": RFC 3339, "reason": …}}                            the last may be missing
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "plan/plan.h"

namespace segue::plan {

inline constexpr std::uint64_t kPlanFormat = 1;
inline constexpr std::size_t kMaxPlanBytes = std::size_t{256} << 10;

// data_loss or invalid_argument: what is wrong. failed_precondition: of a newer format.
base::Result<Plan> read_plan(std::string_view bytes);
// One line, with its end.
std::string write_plan(const Plan& plan);

}  // namespace segue::plan
