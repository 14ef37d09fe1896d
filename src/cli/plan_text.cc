// SPDX-License-Identifier: Apache-2.0
#include "cli/plan_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "plan/plan_document.h"
#include "plan/schedule.h"
#include "tuf/metadata.h"

namespace segue::cli {
namespace {

using base::Result;
using plan::Instant;
using plan::LocalKind;
using plan::Plan;
using plan::Site;

void add_step(PlanText& text, Instant at, const std::string& what, Json details) {
  text.lines.push_back(fmt::format("{:>3}. {}  {}", text.lines.size() + 1, utc_text(at), what));
  details["at"] = tuf::to_string(at);
  details["what"] = what;
  text.json["steps"].push_back(std::move(details));
}

std::string note_about(LocalKind kind, const Site& site) {
  if (kind == LocalKind::skipped) {
    return fmt::format("clocks in {} skip that time: {} goes live at the moment of their change",
                       site.zone, site.name);
  }
  return fmt::format(
      "clocks in {} show that time twice: {} goes live at the first; for the second "
      "give the offset from UTC",
      site.zone, site.name);
}

// What was said may mean another moment by now: the rules of the zone were changed.
Result<void> compare_with_rules(const Plan& plan, const Site& site, const plan::Zones& zones,
                                PlanText& text) {
  const auto expression = plan::parse_time_expression(plan.at);
  if (!expression || expression->kind != plan::TimeExpression::Kind::on_clock) return {};
  SEGUE_ASSIGN(const plan::ResolvedTime today,
               plan::resolve(*expression, zones, site.zone, plan.created));
  if (today.instant != site.at) {
    SEGUE_ASSIGN(const std::string local, plan::local_text(zones, site.zone, today.instant));
    text.notes.push_back(fmt::format(
        "by the rules that this host has now, '{}' would be {} for {}: if that is meant, "
        "cancel the plan and make it again",
        plan.at, local, site.name));
  } else if (today.kind != LocalKind::once) {
    text.notes.push_back(note_about(today.kind, site));
  }
  return {};
}

std::string policy_text(const Plan& plan) {
  const std::string late = fmt::format("more than {} late", plan::span_text(plan.late_limit));
  switch (plan.missed) {
    case plan::MissedPolicy::skip:
      return late + ": skipped";
    case plan::MissedPolicy::next_window:
      return late + (plan.windows.empty() ? ": the same time of the next day"
                                          : ": when the next window opens");
    case plan::MissedPolicy::at_once:
      return late + ": as soon as it can";
  }
  return late;
}

void add_conditions(const Plan& plan, PlanText& text) {
  for (const auto& window : plan.windows) {
    text.lines.push_back("     only " + plan::to_string(window) + ", on each site's clocks");
  }
  for (const auto& freeze : plan.freezes) {
    text.lines.push_back(
        fmt::format("     not from {} to {}: {}", freeze.from, freeze.to, freeze.reason));
  }
  text.lines.push_back("     " + policy_text(plan));
}

}  // namespace

std::string utc_text(Instant instant) {
  return plan::to_string(plan::LocalTime(instant.time_since_epoch())) + "Z";
}

Result<PlanText> describe_plan(const Plan& plan, const plan::Zones& zones, Instant now) {
  PlanText text;
  text.json = Json{{"plan", Json::parse(plan::write_plan(plan))}, {"steps", Json::array()}};
  const auto freeze = plan::publishing_freeze_of(plan);
  const auto staging = plan::span_text(plan.staging_estimate);
  add_step(text, plan.created,
           fmt::format("every host stages {} {} as soon as it is published (about {})",
                       plan.component, plan.version, staging),
           Json::object());
  add_step(text, freeze.from,
           fmt::format("publishing of {} is frozen until {}", plan.component, utc_text(freeze.to)),
           Json::object());
  auto sites = plan.sites;
  std::sort(sites.begin(), sites.end(), [](const Site& a, const Site& b) { return a.at < b.at; });
  for (const auto& site : sites) {
    SEGUE_ASSIGN(const std::string local, plan::local_text(zones, site.zone, site.at));
    add_step(text, site.at, fmt::format("{} goes live: {} in {}", site.name, local, site.zone),
             Json{{"site", site.name}, {"zone", site.zone}, {"local", local}});
    SEGUE_TRY(compare_with_rules(plan, site, zones, text));
  }
  text.lines.emplace_back(
      "     each host: close the old one, switch the tree, start the new one, check its health; "
      "undo if that fails");
  add_conditions(plan, text);
  if (!plan.cancelled && sites.front().at > now && now + plan.staging_estimate > sites.front().at) {
    text.notes.push_back(fmt::format("staging takes about {}, and {} goes live in {}", staging,
                                     sites.front().name, plan::span_text(sites.front().at - now)));
  }
  if (plan.cancelled) {
    text.notes.push_back(fmt::format("cancelled {}{}{}", utc_text(plan.cancelled->at),
                                     plan.cancelled->reason.empty() ? "" : ": ",
                                     plan.cancelled->reason));
  }
  text.json["notes"] = text.notes;
  return text;
}

}  // namespace segue::cli
