// SPDX-License-Identifier: Apache-2.0
#include "plan/plan.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "control/name.h"

namespace segue::plan {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::array<std::pair<MissedPolicy, std::string_view>, 3> kMissedPolicies = {
    {{MissedPolicy::skip, "skip"},
     {MissedPolicy::next_window, "next-window"},
     {MissedPolicy::at_once, "at-once"}}};

constexpr seconds kMaxSpan = std::chrono::days(31);

Result<void> check_text(std::string_view text, std::string_view what) {
  const bool fine =
      text.size() <= kMaxTextBytes && std::none_of(text.begin(), text.end(), [](char c) {
        return static_cast<unsigned char>(c) < ' ' || c == '\x7F';
      });
  if (fine) return {};
  return fail(ErrorCode::invalid_argument, "{} has to be one line of at most {} bytes", what,
              kMaxTextBytes);
}

Result<void> check_span(seconds span, std::string_view what) {
  if (span >= seconds(0) && span <= kMaxSpan) return {};
  return fail(ErrorCode::invalid_argument, "{} has to be a time of up to 31 days", what);
}

Result<void> check_moment(Instant instant, std::string_view what) {
  const year_month_day date(std::chrono::floor<std::chrono::days>(instant));
  if (date.year() >= std::chrono::year(kFirstYear) && date.year() <= std::chrono::year(kLastYear)) {
    return {};
  }
  return fail(ErrorCode::invalid_argument, "{} has to lie in the years from {} to {}", what,
              kFirstYear, kLastYear);
}

Result<void> check_sites(const Plan& plan) {
  if (plan.sites.empty() || plan.sites.size() > kMaxSites) {
    return fail(ErrorCode::invalid_argument, "a plan has 1 to {} sites, and not {}", kMaxSites,
                plan.sites.size());
  }
  std::set<std::string> names;
  for (const auto& site : plan.sites) {
    SEGUE_TRY(control::check_name(site.name, "a site"));
    SEGUE_TRY(check_zone_name(site.zone));
    SEGUE_TRY(check_moment(site.at, "the time of a site"));
    if (!names.insert(site.name).second) {
      return fail(ErrorCode::invalid_argument, "site '{}' stands twice in the plan", site.name);
    }
  }
  return {};
}

Result<void> check_freeze(const Freeze& freeze) {
  SEGUE_TRY(check_text(freeze.reason, "the reason of a freeze"));
  for (const auto& text : {freeze.from, freeze.to}) {
    SEGUE_ASSIGN(const TimeExpression edge, parse_time_expression(text));
    if (edge.kind == TimeExpression::Kind::relative ||
        (edge.kind == TimeExpression::Kind::on_clock && !edge.date)) {
      return fail(ErrorCode::invalid_argument,
                  "'{}' has no date, which the beginning and the end of a freeze need", text);
    }
  }
  return {};
}

}  // namespace

std::string_view to_string(MissedPolicy policy) {
  for (const auto& [known, word] : kMissedPolicies) {
    if (known == policy) return word;
  }
  return "";
}

std::optional<MissedPolicy> missed_policy_of(std::string_view word) {
  for (const auto& [policy, known] : kMissedPolicies) {
    if (known == word) return policy;
  }
  return std::nullopt;
}

const Site* Plan::site(std::string_view name) const {
  const auto found =
      std::find_if(sites.begin(), sites.end(), [&](const Site& one) { return one.name == name; });
  return found == sites.end() ? nullptr : &*found;
}

Result<void> check(const Plan& plan) {
  SEGUE_TRY(control::check_name(plan.id, "a plan"));
  SEGUE_TRY(control::check_name(plan.component));
  SEGUE_TRY(control::check_version(plan.version));
  SEGUE_TRY(check_moment(plan.created, "the time at which a plan was made"));
  SEGUE_TRY(check_text(plan.at, "the time as it was said"));
  SEGUE_TRY(check_sites(plan));
  if (plan.windows.size() > kMaxWindows || plan.freezes.size() > kMaxFreezes) {
    return fail(ErrorCode::invalid_argument, "a plan has at most {} windows and {} freezes",
                kMaxWindows, kMaxFreezes);
  }
  for (const auto& window : plan.windows) {
    if (window.days.none()) {
      return fail(ErrorCode::invalid_argument, "a window has no day");
    }
  }
  for (const auto& freeze : plan.freezes) SEGUE_TRY(check_freeze(freeze));
  SEGUE_TRY(check_span(plan.late_limit, "the limit of lateness"));
  SEGUE_TRY(check_span(plan.staging_estimate, "the estimate of staging"));
  SEGUE_TRY(check_span(plan.publishing_freeze, "the freeze of publishing"));
  SEGUE_TRY(check_span(plan.go_live_limit, "the limit of going live"));
  if (!plan.cancelled) return {};
  SEGUE_TRY(check_moment(plan.cancelled->at, "the time of the cancellation"));
  return check_text(plan.cancelled->reason, "the reason of the cancellation");
}

}  // namespace segue::plan
