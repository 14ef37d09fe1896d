// SPDX-License-Identifier: Apache-2.0
#include "plan/schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace segue::plan {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

// Each step ends a window's pause or a freeze.
constexpr int kMaxSteps = static_cast<int>(2 * kMaxFreezes + 16);

Result<Span> span_of(const Freeze& freeze, const std::string& zone, const Zones& zones) {
  Span span;
  for (const auto& [text, edge] : {std::pair(&freeze.from, &span.from), {&freeze.to, &span.to}}) {
    SEGUE_ASSIGN(const TimeExpression expression, parse_time_expression(*text));
    SEGUE_ASSIGN(const ResolvedTime time, resolve(expression, zones, zone, Instant{}));
    *edge = time.instant;
  }
  return span;
}

// nullopt: one is open, or there are none.
Result<std::optional<Hold>> closed_at(const Plan& plan, const std::string& zone, const Zones& zones,
                                      Instant now) {
  std::optional<Instant> opens;
  for (const auto& window : plan.windows) {
    SEGUE_ASSIGN(const Span span, next_span(window, zones, zone, now));
    if (span.from <= now) return std::nullopt;
    opens = opens ? std::min(*opens, span.from) : span.from;
  }
  if (!opens) return std::nullopt;
  return Hold{Hold::Kind::closed, *opens, "outside of the windows"};
}

// The same time of day, one day later.
Result<Instant> next_day(const Zones& zones, const std::string& zone, Instant due, Instant now) {
  SEGUE_ASSIGN(const LocalTime local, to_local(zones, zone, due));
  const auto day = std::chrono::floor<std::chrono::days>(local);
  const TimeExpression same_time{.kind = TimeExpression::Kind::on_clock,
                                 .instant = {},
                                 .date = std::nullopt,
                                 .time_of_day = local - day,
                                 .zone = zone,
                                 .after = {}};
  SEGUE_ASSIGN(const ResolvedTime next, resolve(same_time, zones, zone, now));
  return next.instant;
}

}  // namespace

Result<std::optional<Hold>> freeze_at(const Plan& plan, const std::string& zone, const Zones& zones,
                                      Instant now) {
  for (const auto& freeze : plan.freezes) {
    SEGUE_ASSIGN(const Span span, span_of(freeze, zone, zones));
    if (now < span.from || now >= span.to) continue;
    return Hold{Hold::Kind::freeze, span.to, fmt::format("frozen: {}", freeze.reason)};
  }
  return std::nullopt;
}

Result<std::optional<Hold>> hold_at(const Plan& plan, const std::string& zone, const Zones& zones,
                                    Instant now) {
  SEGUE_ASSIGN(auto frozen, freeze_at(plan, zone, zones, now));
  if (frozen) return frozen;
  return closed_at(plan, zone, zones, now);
}

Result<Instant> first_allowed(const Plan& plan, const std::string& zone, const Zones& zones,
                              Instant from) {
  for (int step = 0; step < kMaxSteps; ++step) {
    SEGUE_ASSIGN(const auto hold, hold_at(plan, zone, zones, from));
    if (!hold) return from;
    from = hold->until;
  }
  return fail(ErrorCode::failed_precondition,
              "windows and freezes of plan {} leave no time at which it could go live", plan.id);
}

Result<Instant> after_missed(const Plan& plan, const std::string& zone, const Zones& zones,
                             Instant due, Instant now) {
  if (plan.windows.empty()) {
    SEGUE_ASSIGN(const Instant next, next_day(zones, zone, due, now));
    return first_allowed(plan, zone, zones, next);
  }
  std::optional<Instant> opens;
  for (const auto& window : plan.windows) {
    SEGUE_ASSIGN(Span span, next_span(window, zones, zone, now));
    if (span.from <= now) {
      SEGUE_ASSIGN(span, next_span(window, zones, zone, span.to));
    }
    opens = opens ? std::min(*opens, span.from) : span.from;
  }
  return first_allowed(plan, zone, zones, *opens);
}

Result<void> check_schedule(const Plan& plan, const Zones& zones) {
  for (const auto& site : plan.sites) {
    for (const auto& freeze : plan.freezes) {
      SEGUE_ASSIGN(const Span span, span_of(freeze, site.zone, zones));
      if (span.to <= span.from) {
        return fail(ErrorCode::invalid_argument, "the freeze from {} to {} ends before it begins",
                    freeze.from, freeze.to);
      }
    }
    SEGUE_ASSIGN(const auto hold, hold_at(plan, site.zone, zones, site.at));
    SEGUE_ASSIGN(const std::string local, local_text(zones, site.zone, site.at));
    if (!hold) continue;
    SEGUE_ASSIGN(const Instant next, first_allowed(plan, site.zone, zones, site.at));
    SEGUE_ASSIGN(const std::string next_local, local_text(zones, site.zone, next));
    return fail(ErrorCode::failed_precondition,
                "site {} cannot go live at {}: {}; the next time that can be planned is {}",
                site.name, local, hold->why, next_local);
  }
  return {};
}

PublishingFreeze publishing_freeze_of(const Plan& plan) {
  const auto by_time = [](const Site& a, const Site& b) { return a.at < b.at; };
  const auto [first, last] = std::minmax_element(plan.sites.begin(), plan.sites.end(), by_time);
  return {plan.id, first->at - plan.publishing_freeze,
          last->at + plan.late_limit + plan.go_live_limit};
}

std::optional<PublishingFreeze> publishing_freeze(const std::vector<Plan>& plans,
                                                  const std::string& component, Instant now) {
  std::optional<PublishingFreeze> longest;
  for (const auto& plan : plans) {
    if (plan.component != component || plan.cancelled || plan.sites.empty()) continue;
    const auto freeze = publishing_freeze_of(plan);
    if (now < freeze.from || now >= freeze.to) continue;
    if (!longest || freeze.to > longest->to) longest = freeze;
  }
  return longest;
}

std::string frozen_text(const std::string& component, const PublishingFreeze& freeze) {
  const LocalTime until(freeze.to.time_since_epoch());
  return fmt::format(
      "publishing of {} is frozen until {}Z, while plan {} goes live: publish after it, or cancel "
      "the plan",
      component, to_string(until), freeze.plan);
}

Result<void> check_publishing(const std::vector<Plan>& plans, const std::string& component,
                              Instant now) {
  const auto freeze = publishing_freeze(plans, component, now);
  if (!freeze) return {};
  return fail(ErrorCode::failed_precondition, "{}", frozen_text(component, *freeze));
}

Instant over_from(const Plan& plan) {
  const Instant in_time = publishing_freeze_of(plan).to;
  return plan.missed == MissedPolicy::skip ? in_time : in_time + kLongestOutage;
}

std::map<std::string, std::set<std::string>> needed_versions(const std::vector<Plan>& plans,
                                                             Instant now) {
  constexpr std::size_t kPast = 2;
  std::map<std::string, std::set<std::string>> needed;
  // By component and site, the versions of what is over, the last one last.
  std::map<std::pair<std::string, std::string>, std::multimap<Instant, std::string>> past;
  for (const auto& plan : plans) {
    if (plan.cancelled || plan.sites.empty()) continue;
    if (now < over_from(plan)) {
      needed[plan.component].insert(plan.version);
      continue;
    }
    for (const auto& site : plan.sites) {
      past[{plan.component, site.name}].emplace(site.at, plan.version);
    }
  }
  for (const auto& [where, versions] : past) {
    auto last = versions.rbegin();
    for (std::size_t i = 0; i < kPast && last != versions.rend(); ++i, ++last) {
      needed[where.first].insert(last->second);
    }
  }
  return needed;
}

}  // namespace segue::plan
