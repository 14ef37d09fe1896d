// SPDX-License-Identifier: Apache-2.0
#include "plan/plan_document.h"

#include <utility>

#include "plan/document_fields.h"
#include "tuf/json.h"
#include "tuf/metadata.h"

namespace segue::plan {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using tuf::Fields;
using tuf::Json;

Result<Site> read_site(Json json) {
  SEGUE_ASSIGN(Fields fields, Fields::of(std::move(json), "a site"));
  Site site;
  SEGUE_ASSIGN(site.name, fields.string("name"));
  SEGUE_ASSIGN(site.zone, fields.string("zone"));
  SEGUE_ASSIGN(site.at, take_time(fields, "at"));
  SEGUE_TRY(nothing_else(std::move(fields)));
  return site;
}

Result<Freeze> read_freeze(Json json) {
  SEGUE_ASSIGN(Fields fields, Fields::of(std::move(json), "a freeze"));
  Freeze freeze;
  SEGUE_ASSIGN(freeze.from, fields.string("from"));
  SEGUE_ASSIGN(freeze.to, fields.string("to"));
  SEGUE_ASSIGN(freeze.reason, fields.string("reason"));
  SEGUE_TRY(nothing_else(std::move(fields)));
  return freeze;
}

Result<void> read_lists(Fields& fields, Plan& plan) {
  SEGUE_ASSIGN(Json sites, take_list(fields, "sites", kMaxSites));
  for (auto& json : sites) {
    SEGUE_ASSIGN(Site site, read_site(std::move(json)));
    plan.sites.push_back(std::move(site));
  }
  SEGUE_ASSIGN(const auto windows, fields.strings("windows"));
  for (const auto& text : windows) {
    SEGUE_ASSIGN(const Window window, parse_window(text));
    plan.windows.push_back(window);
  }
  SEGUE_ASSIGN(Json freezes, take_list(fields, "freezes", kMaxFreezes));
  for (auto& json : freezes) {
    SEGUE_ASSIGN(Freeze freeze, read_freeze(std::move(json)));
    plan.freezes.push_back(std::move(freeze));
  }
  return {};
}

Result<void> read_limits(Fields& fields, Plan& plan) {
  SEGUE_ASSIGN(const std::string missed, fields.string("missed"));
  const auto policy = missed_policy_of(missed);
  if (!policy) return fail(ErrorCode::data_loss, "'missed' of the plan is no policy");
  plan.missed = *policy;
  SEGUE_ASSIGN(plan.late_limit, take_seconds(fields, "late_limit_s"));
  SEGUE_ASSIGN(plan.staging_estimate, take_seconds(fields, "staging_estimate_s"));
  SEGUE_ASSIGN(plan.publishing_freeze, take_seconds(fields, "publishing_freeze_s"));
  SEGUE_ASSIGN(plan.go_live_limit, take_seconds(fields, "go_live_limit_s"));
  return {};
}

Result<std::optional<Cancellation>> read_cancellation(Fields& fields) {
  Json json = fields.take_if_any("cancelled");
  if (json.is_null()) return std::nullopt;
  SEGUE_ASSIGN(Fields inner, Fields::of(std::move(json), "the cancellation"));
  Cancellation cancellation;
  SEGUE_ASSIGN(cancellation.at, take_time(inner, "at"));
  SEGUE_ASSIGN(cancellation.reason, inner.string("reason"));
  SEGUE_TRY(nothing_else(std::move(inner)));
  return cancellation;
}

}  // namespace

Result<Plan> read_plan(std::string_view bytes) {
  if (bytes.size() > kMaxPlanBytes) {
    return fail(ErrorCode::data_loss, "a plan has at most {} bytes", kMaxPlanBytes);
  }
  SEGUE_ASSIGN(Json json, tuf::parse_json(bytes));
  SEGUE_ASSIGN(Fields fields, Fields::of(std::move(json), "the plan"));
  SEGUE_ASSIGN(const std::uint64_t format, fields.number("segue_plan", 1));
  if (format != kPlanFormat) {
    return fail(ErrorCode::failed_precondition,
                "the plan is of format {}, and this program knows {}: upgrade it", format,
                kPlanFormat);
  }
  Plan plan;
  SEGUE_ASSIGN(plan.id, fields.string("id"));
  SEGUE_ASSIGN(plan.component, fields.string("component"));
  SEGUE_ASSIGN(plan.version, fields.string("version"));
  SEGUE_ASSIGN(plan.created, take_time(fields, "created"));
  SEGUE_ASSIGN(plan.at, fields.string("at"));
  SEGUE_TRY(read_lists(fields, plan));
  SEGUE_TRY(read_limits(fields, plan));
  SEGUE_ASSIGN(plan.cancelled, read_cancellation(fields));
  SEGUE_TRY(nothing_else(std::move(fields)));
  SEGUE_TRY(check(plan));
  return plan;
}

std::string write_plan(const Plan& plan) {
  Json sites = Json::array();
  for (const auto& site : plan.sites) {
    sites.push_back({{"name", site.name}, {"zone", site.zone}, {"at", tuf::to_string(site.at)}});
  }
  Json windows = Json::array();
  for (const auto& window : plan.windows) windows.push_back(to_string(window));
  Json freezes = Json::array();
  for (const auto& freeze : plan.freezes) {
    freezes.push_back({{"from", freeze.from}, {"to", freeze.to}, {"reason", freeze.reason}});
  }
  Json json{{"segue_plan", kPlanFormat},
            {"id", plan.id},
            {"component", plan.component},
            {"version", plan.version},
            {"created", tuf::to_string(plan.created)},
            {"at", plan.at},
            {"sites", std::move(sites)},
            {"windows", std::move(windows)},
            {"freezes", std::move(freezes)},
            {"missed", to_string(plan.missed)},
            {"late_limit_s", plan.late_limit.count()},
            {"staging_estimate_s", plan.staging_estimate.count()},
            {"publishing_freeze_s", plan.publishing_freeze.count()},
            {"go_live_limit_s", plan.go_live_limit.count()}};
  if (plan.cancelled) {
    json["cancelled"] = {{"at", tuf::to_string(plan.cancelled->at)},
                         {"reason", plan.cancelled->reason}};
  }
  return line_of(json);
}

}  // namespace segue::plan
