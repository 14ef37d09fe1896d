// SPDX-License-Identifier: Apache-2.0
// Plans as a library carries them: targets of the role "plans" (protocol/library.md).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "library/object_store.h"
#include "library/release.h"
#include "plan/plan.h"
#include "tuf/repository.h"

namespace segue::library {

inline constexpr std::size_t kMaxLibraryPlans = 200;  // as many as a host keeps

// What the role says of a plan. That it is cancelled stands here as well as in its document, so
// that nobody who has the plan can be kept from learning it by the document's being withheld.
struct PlanTarget {
  std::string id;
  std::string component;
  ObjectRef document;  // plan/plan_document.h
  std::optional<plan::Cancellation> cancelled;
  tuf::Json extra = tuf::Json::object();  // what this version does not know, kept as it is
  friend bool operator==(const PlanTarget&, const PlanTarget&) = default;
};

// The target's path: plans/ID.json.
std::string plan_target_path(std::string_view id);

// The document is write_plan(plan); a plan that check() refuses aborts.
PlanTarget plan_target_of(const plan::Plan& plan);
tuf::TargetFile to_target(const PlanTarget& plan);
// data_loss says what is missing, wrong or out of bounds.
base::Result<PlanTarget> parse_plan_target(std::string_view path, const tuf::TargetFile& target);

// The plan in a document, which has to be the object that the target names, and to say the same of
// its id, component and cancellation. data_loss otherwise; nothing is parsed before its digest
// is known to be right.
base::Result<plan::Plan> read_plan_document(const PlanTarget& target, delta::ByteView bytes);

// All that a role holds, by their ids; those that cannot be read are named.
struct PlanTargets {
  std::vector<PlanTarget> plans;
  std::vector<base::Error> refused;
};
PlanTargets plan_targets_of(const tuf::Targets& role);

// The plans of a library, by their ids; none where it has no role for them. An error names the one
// that cannot be read.
base::Result<std::vector<plan::Plan>> plans_of(const tuf::Repository& repository,
                                               const ObjectStore& objects);

}  // namespace segue::library
