// SPDX-License-Identifier: Apache-2.0
// Publisher: plans, which travel with the releases that they name.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "library/delegation.h"
#include "library/publisher.h"
#include "plan/plan_document.h"

namespace segue::library {

using base::ErrorCode;
using base::fail;
using base::Result;
using plan::Plan;

namespace {

// So long after it is over a plan stays, for hosts that come back: also that it was cancelled.
constexpr std::chrono::seconds kKeptWhenOver = std::chrono::days(60);

Result<PlanTarget> find_plan(const tuf::Repository& repository, const std::string& id) {
  if (const tuf::Targets* role = repository.role(kPlansRole)) {
    const std::string path = plan_target_path(id);
    const auto found = role->targets.find(path);
    if (found != role->targets.end()) return parse_plan_target(path, found->second);
  }
  return fail(ErrorCode::not_found, "the library has no plan '{}'; see `segue plan list --library`",
              id.substr(0, 80));
}

// Those that have been over for long; where there is no room, also those that have been so longest.
void forget_old_plans(std::vector<Plan> plans, plan::Instant now, tuf::Targets& role) {
  std::ranges::sort(plans, {}, [](const Plan& plan) { return plan::over_from(plan); });
  for (const Plan& plan : plans) {
    const plan::Instant over = plan::over_from(plan);
    const bool is_old = over + kKeptWhenOver <= now;
    const bool is_over = over <= now;
    if (is_old || (is_over && role.targets.size() >= kMaxLibraryPlans)) {
      role.targets.erase(plan_target_path(plan.id));
    }
  }
}

}  // namespace

Result<std::vector<Plan>> Publisher::plans_for(const tuf::Repository& repository,
                                               const Settings& settings) {
  std::vector<Plan> plans;
  if (repository.role(kPlansRole) != nullptr) {
    SEGUE_ASSIGN(const Disk disk, Disk::open(settings.directory));
    SEGUE_ASSIGN(plans, plans_of(repository, ObjectStore(disk)));
  }
  if (!settings.more_plans) return plans;
  SEGUE_ASSIGN(const std::vector<Plan> more, settings.more_plans());
  plans.insert(plans.end(), more.begin(), more.end());
  return plans;
}

Result<std::vector<Plan>> Publisher::all_plans() const {
  return plans_for(repository_, settings_);
}

// A release that is fetched later is fetched as a delta from those that hosts have by now, and an
// undo goes back to one of them.
std::set<std::string> Publisher::planned_targets(const std::vector<Plan>& plans) const {
  std::set<std::string> planned;
  const auto components = components_of(repository_);
  for (const auto& [component, versions] : plan::needed_versions(plans, now())) {
    const auto list = components.find(component);
    for (const auto& version : versions) {
      planned.insert(target_path(component, version));
      if (list == components.end()) continue;
      const Release* release = list->second.find_version(version);
      if (release == nullptr) continue;
      for (const auto& delta : release->deltas) planned.insert(target_path(component, delta.from));
      if (!release->pending) continue;
      for (const auto& from : release->pending->from) planned.insert(target_path(component, from));
    }
  }
  return planned;
}

Result<void> Publisher::put_plan(tuf::Repository next, const Plan& plan, bool dry_run) {
  SEGUE_ASSIGN(tuf::Targets* const role, next.edit(kPlansRole));
  role->targets[plan_target_path(plan.id)] = to_target(plan_target_of(plan));
  const tuf::Signers signers = signers_for(settings_.signers, std::string(kPlansRole));
  if (dry_run) {
    SEGUE_TRY(next.publish(signers, now(), settings_.lifetimes));  // whether the keys suffice
    return {};
  }
  SEGUE_TRY(objects_.add(delta::view_of(plan::write_plan(plan))));
  SEGUE_TRY(objects_.flush());
  SEGUE_TRY(write_metadata(std::move(next), signers));
  return {};
}

Result<void> Publisher::add_plan(const Plan& plan, bool delegate_anew, bool dry_run) {
  SEGUE_TRY(plan::check(plan));
  SEGUE_TRY(check_component(plan.component));
  if (find_plan(repository_, plan.id)) {
    return fail(
        ErrorCode::already_exists,
        "there is a plan '{}' already: look at it with `segue plan show`, or name the new one "
        "with --id",
        plan.id);
  }
  tuf::Repository next = repository_;
  SEGUE_TRY(delegate_if_new(next, std::string(kPlansRole), settings_.signers, delegate_anew));
  SEGUE_ASSIGN(const auto plans, plans_of(repository_, objects_));
  SEGUE_ASSIGN(tuf::Targets* const role, next.edit(kPlansRole));
  forget_old_plans(plans, now(), *role);
  if (role->targets.size() >= kMaxLibraryPlans) {
    return fail(ErrorCode::resource_exhausted,
                "the library has {} plans that are not over, and can have no more",
                role->targets.size());
  }
  return put_plan(std::move(next), plan, dry_run);
}

Result<Plan> Publisher::cancel_plan(const std::string& id, const plan::Cancellation& cancellation,
                                    bool dry_run) {
  SEGUE_ASSIGN(const PlanTarget target, find_plan(repository_, id));
  SEGUE_ASSIGN(const delta::Bytes bytes, objects_.read(target.document));
  SEGUE_ASSIGN(Plan plan, read_plan_document(target, bytes));
  if (plan.cancelled) {
    return fail(ErrorCode::failed_precondition, "plan {} was cancelled {}", id,
                tuf::to_string(plan.cancelled->at));
  }
  plan.cancelled = cancellation;
  SEGUE_TRY(plan::check(plan));
  SEGUE_TRY(put_plan(repository_, plan, dry_run));
  return plan;
}

}  // namespace segue::library
