// SPDX-License-Identifier: Apache-2.0
#include "library/plan_target.h"

#include <fmt/format.h>

#include "base/assert.h"
#include "plan/document_fields.h"
#include "plan/plan_document.h"
#include "tuf/fields.h"

namespace segue::library {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using tuf::Fields;
using tuf::Json;

constexpr std::string_view kEnding = ".json";

Result<std::optional<plan::Cancellation>> parse_cancellation(Fields& fields) {
  Json json = fields.take_if_any("cancelled");
  if (json.is_null()) return std::nullopt;
  SEGUE_ASSIGN(Fields inner, Fields::of(std::move(json), "the cancellation of " + fields.what()));
  plan::Cancellation cancellation;
  SEGUE_ASSIGN(cancellation.at, plan::take_time(inner, "at"));
  SEGUE_ASSIGN(cancellation.reason, inner.string("reason"));
  SEGUE_TRY(plan::nothing_else(std::move(inner)));
  if (cancellation.reason.size() <= plan::kMaxTextBytes) return cancellation;
  return fail(ErrorCode::data_loss, "the reason why {} was cancelled has more than {} bytes",
              fields.what(), plan::kMaxTextBytes);
}

Result<void> parse_custom(Fields fields, PlanTarget& plan) {
  SEGUE_ASSIGN(plan.component, fields.string("component"));
  SEGUE_TRY(control::check_name(plan.component));
  SEGUE_ASSIGN(plan.cancelled, parse_cancellation(fields));
  plan.extra = std::move(fields).rest();
  return {};
}

}  // namespace

std::string plan_target_path(std::string_view id) {
  return fmt::format("{}/{}{}", kPlansRole, id, kEnding);
}

PlanTarget plan_target_of(const plan::Plan& plan) {
  const std::string document = plan::write_plan(plan);
  PlanTarget target;
  target.id = plan.id;
  target.component = plan.component;
  target.document = {document.size(), delta::digest_of(delta::view_of(document))};
  target.cancelled = plan.cancelled;
  return target;
}

tuf::TargetFile to_target(const PlanTarget& plan) {
  Json custom = plan.extra;
  custom["component"] = plan.component;
  if (plan.cancelled) {
    custom["cancelled"] = {{"at", tuf::to_string(plan.cancelled->at)},
                           {"reason", plan.cancelled->reason}};
  }
  tuf::TargetFile target;
  target.length = plan.document.length;
  target.hashes["sha256"] = plan.document.sha256.hex();
  target.custom = std::move(custom);
  SEGUE_ASSERT(parse_plan_target(plan_target_path(plan.id), target).has_value());
  return target;
}

Result<PlanTarget> parse_plan_target(std::string_view path, const tuf::TargetFile& target) {
  PlanTarget plan;
  const std::string what = fmt::format("plan '{}'", path.substr(0, 200));
  const std::string_view front = path.substr(0, path.find('/') + 1);
  if (front != std::string(kPlansRole) + "/" || !path.ends_with(kEnding)) {
    return fail(ErrorCode::data_loss, "{} is not {}/ID{}", what, kPlansRole, kEnding);
  }
  plan.id = path.substr(front.size(), path.size() - front.size() - kEnding.size());
  const auto named = [&]() -> Result<void> {
    SEGUE_TRY(control::check_name(plan.id, "a plan"));
    SEGUE_ASSIGN(auto fields, Fields::of(target.custom, what));
    return parse_custom(std::move(fields), plan);
  }();
  if (!named) return fail(ErrorCode::data_loss, "{}: {}", what, named.error().message());
  const auto sha256 = target.hashes.find("sha256");
  const auto digest =
      sha256 == target.hashes.end() ? std::nullopt : digest_from_hex(sha256->second);
  if (!digest || target.length == 0 || target.length > plan::kMaxPlanBytes) {
    return fail(ErrorCode::data_loss, "{} has no SHA-256, or a length that is out of bounds", what);
  }
  plan.document = {target.length, *digest};
  return plan;
}

Result<plan::Plan> read_plan_document(const PlanTarget& target, delta::ByteView bytes) {
  SEGUE_TRY(check_object(bytes, target.document));
  SEGUE_ASSIGN(plan::Plan plan, plan::read_plan(delta::text_of(bytes)));
  if (plan.id == target.id && plan.component == target.component &&
      plan.cancelled == target.cancelled) {
    return plan;
  }
  return fail(ErrorCode::data_loss, "the document of plan {} is that of plan {} of {}{}", target.id,
              plan.id, plan.component,
              plan.cancelled == target.cancelled ? "" : ", or differs in its cancellation");
}

PlanTargets plan_targets_of(const tuf::Targets& role) {
  PlanTargets list;
  for (const auto& [path, target] : role.targets) {
    auto plan = parse_plan_target(path, target);
    if (plan && list.plans.size() == kMaxLibraryPlans) {
      plan = fail(ErrorCode::resource_exhausted, "there are more than {} plans", kMaxLibraryPlans);
    }
    if (plan) {
      list.plans.push_back(*std::move(plan));
    } else {
      list.refused.push_back(std::move(plan).error());
    }
  }
  return list;
}

Result<std::vector<plan::Plan>> plans_of(const tuf::Repository& repository,
                                         const ObjectStore& objects) {
  std::vector<plan::Plan> plans;
  const tuf::Targets* role = repository.role(kPlansRole);
  if (role == nullptr) return plans;
  PlanTargets targets = plan_targets_of(*role);
  if (!targets.refused.empty()) return fail(std::move(targets.refused.front()));
  for (const auto& target : targets.plans) {
    SEGUE_ASSIGN(const delta::Bytes bytes, objects.read(target.document));
    SEGUE_ASSIGN(plan::Plan plan, read_plan_document(target, bytes));
    plans.push_back(std::move(plan));
  }
  return plans;
}

}  // namespace segue::library
