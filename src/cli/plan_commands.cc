// SPDX-License-Identifier: Apache-2.0
// segue plan create, list, show, cancel, fetch.
#include <fmt/format.h>

#include <algorithm>

#include "cli/commands.h"
#include "cli/plan_store.h"
#include "cli/plan_text.h"
#include "cli/publisher_settings.h"
#include "control/text.h"
#include "os/clock.h"
#include "plan/schedule.h"
#include "plans/plan_fetch.h"
#include "plans/system_zones.h"
#include "tuf/metadata.h"

namespace segue::cli {
namespace {

using base::ErrorCode;
using base::Result;
using control::ExitCode;
using plan::Instant;
using plan::Plan;
using plan::seconds;

Instant now() {
  return std::chrono::floor<seconds>(os::SystemClock().realtime_now());
}

Result<plan::Site> read_site(const std::string& text) {
  const auto equals = text.find('=');
  if (equals == std::string::npos) {
    return base::fail(ErrorCode::invalid_argument,
                      "--site {}: write NAME=ZONE, as berlin=Europe/Berlin", text.substr(0, 80));
  }
  return plan::Site{text.substr(0, equals), text.substr(equals + 1), {}};
}

Result<plan::Freeze> read_freeze(const std::string& text) {
  const auto dots = text.find("..");
  const auto equals = text.find('=', dots == std::string::npos ? 0 : dots);
  if (dots == std::string::npos || equals == std::string::npos) {
    return base::fail(
        ErrorCode::invalid_argument,
        "--freeze {}: write FROM..TO=REASON, as '2026-12-24T00:00 local..2027-01-02T00:00 "
        "local=holidays'",
        text.substr(0, 80));
  }
  return plan::Freeze{text.substr(0, dots), text.substr(dots + 2, equals - dots - 2),
                      text.substr(equals + 1)};
}

Result<std::vector<plan::Site>> sites_of(const PlanOptions& options) {
  std::vector<plan::Site> sites;
  for (const auto& text : options.sites) {
    SEGUE_ASSIGN(plan::Site site, read_site(text));
    sites.push_back(std::move(site));
  }
  if (!sites.empty()) return sites;
  SEGUE_ASSIGN(const std::string zone, plans::SystemZones::own_zone());
  sites.push_back({"default", zone, {}});
  return sites;
}

// chat-2.1-20261130T180000Z, with what a name cannot hold replaced.
std::string default_id(const Plan& plan) {
  Instant first = plan.sites.front().at;
  for (const auto& site : plan.sites) first = std::min(first, site.at);
  std::string time = utc_text(first);
  std::erase_if(time, [](char c) { return c == '-' || c == ':'; });
  std::replace(time.begin(), time.end(), ' ', 'T');
  std::string id = plan.component + "-" + plan.version;
  std::replace_if(id.begin(), id.end(), [](char c) { return c == '+' || c == '~'; }, '_');
  constexpr std::size_t kMaxFrontBytes = 44;
  return id.substr(0, kMaxFrontBytes) + "-" + time;
}

Result<Plan> plan_of(const PlanOptions& options, const plan::Zones& zones, Instant created) {
  Plan plan;
  plan.component = options.component;
  plan.version = options.version;
  plan.created = created;
  plan.at = options.at;
  plan.missed = plan::missed_policy_of(options.missed).value_or(plan::MissedPolicy::skip);
  plan.late_limit = seconds(options.late_limit_s);
  plan.staging_estimate = seconds(options.staging_estimate_s);
  plan.publishing_freeze = seconds(options.publishing_freeze_s);
  plan.go_live_limit = seconds(options.go_live_limit_s);
  for (const auto& text : options.windows) {
    SEGUE_ASSIGN(const plan::Window window, plan::parse_window(text));
    plan.windows.push_back(window);
  }
  for (const auto& text : options.freezes) {
    SEGUE_ASSIGN(plan::Freeze freeze, read_freeze(text));
    plan.freezes.push_back(std::move(freeze));
  }
  SEGUE_ASSIGN(plan.sites, sites_of(options));
  SEGUE_ASSIGN(const plan::TimeExpression at, plan::parse_time_expression(options.at));
  for (auto& site : plan.sites) {
    SEGUE_ASSIGN(const plan::ResolvedTime time, plan::resolve(at, zones, site.zone, created));
    site.at = time.instant;
    if (site.at < created) {
      SEGUE_ASSIGN(const std::string local, plan::local_text(zones, site.zone, site.at));
      return base::fail(ErrorCode::invalid_argument, "'{}' is over for site {}: it was {}",
                        options.at, site.name, local);
    }
  }
  plan.id = options.id.empty() ? default_id(plan) : options.id;
  SEGUE_TRY(plan::check(plan));
  SEGUE_TRY(plan::check_schedule(plan, zones));
  return plan;
}

void print(Output& output, const Plan& plan, const PlanText& text) {
  output.print(fmt::format("{}: {} {} on {}", plan.id, plan.component, plan.version,
                           control::counted(plan.sites.size(), "site")));
  for (const auto& line : text.lines) output.print(line);
  for (const auto& note : text.notes) output.print("note: " + note);
}

ExitCode create(const Context& context, PlanStore& store) {
  Output& output = context.output;
  const plans::SystemZones zones;
  const auto plan = plan_of(context.arguments.plan, zones, now());
  if (!plan) return output.fail(plan.error());
  auto text = describe_plan(*plan, zones, plan->created);
  if (!text) return output.fail(text.error());
  const bool dry_run = context.arguments.dry_run;
  if (const auto added = store.add(*plan, dry_run); !added) return output.fail(added.error());
  text->json["created"] = !dry_run;
  print(output, *plan, *text);
  output.print_json(text->json);
  return output.finish(ExitCode::done, fmt::format("plan {} {} kept in {}", plan->id,
                                                   dry_run ? "would be" : "is", store.where()));
}

ExitCode list(const Context& context, PlanStore& store) {
  Output& output = context.output;
  const auto contents = store.read();
  if (!contents) return output.fail(contents.error());
  const std::string& component = context.arguments.plan.component;
  std::size_t shown = 0;
  for (const auto& plan : contents->plans) {
    if (!component.empty() && plan.component != component) continue;
    ++shown;
    const auto freeze = plan::publishing_freeze({plan}, plan.component, now());
    const char* state = plan.cancelled ? "  cancelled" : freeze ? "  publishing is frozen" : "";
    output.print(fmt::format("{}  {:<40} {} {}, {}{}", utc_text(plan.sites.front().at), plan.id,
                             plan.component, plan.version,
                             control::counted(plan.sites.size(), "site"), state));
    output.print_json(Json{{"id", plan.id},
                           {"component", plan.component},
                           {"version", plan.version},
                           {"at", tuf::to_string(plan.sites.front().at)},
                           {"sites", plan.sites.size()},
                           {"cancelled", plan.cancelled.has_value()},
                           {"publishing_frozen", freeze.has_value()}});
  }
  for (const auto& [file, error] : contents->unreadable) {
    output.note(fmt::format("{}/{}: {}", store.where(), file, error.message()));
    output.print_json(Json{{"file", file}, {"error", error.message()}});
  }
  return output.finish(contents->unreadable.empty() ? ExitCode::done : ExitCode::failed,
                       control::counted(shown, "plan"));
}

ExitCode show(const Context& context, PlanStore& store) {
  Output& output = context.output;
  const plans::SystemZones zones;
  const auto plan = store.read(context.arguments.plan.id);
  if (!plan) return output.fail(plan.error());
  auto text = describe_plan(*plan, zones, now());
  if (!text) return output.fail(text.error());
  const auto reports = store.reports(plan->id);
  if (!reports) return output.fail(reports.error());
  print(output, *plan, *text);
  text->json["reports"] = Json::array();
  for (const auto& bytes : *reports) {
    const Json report = Json::parse(bytes, nullptr, false);
    if (!report.is_object()) continue;
    text->json["reports"].push_back(report);
    const auto word = [&](const char* name) {
      const auto found = report.find(name);
      return found != report.end() && found->is_string() ? found->get<std::string>() : "?";
    };
    output.print(fmt::format("     {} {}: {} {}", word("site"), word("host"), word("outcome"),
                             word("text")));
  }
  output.print_json(text->json);
  return ExitCode::done;
}

ExitCode cancel(const Context& context, PlanStore& store) {
  Output& output = context.output;
  const auto plan = store.cancel(context.arguments.plan.id, {now(), context.arguments.plan.reason},
                                 context.arguments.dry_run);
  if (!plan) return output.fail(plan.error());
  const auto begun = std::count_if(plan->sites.begin(), plan->sites.end(), [&](const auto& site) {
    return site.at <= plan->cancelled->at;
  });
  return output.finish(
      ExitCode::done,
      fmt::format("plan {} {} cancelled{}", plan->id, context.arguments.dry_run ? "would be" : "is",
                  begun == 0
                      ? ""
                      : fmt::format("; the time of {} has come, where it may have gone live",
                                    control::counted(static_cast<std::uint64_t>(begun), "site"))));
}

ExitCode fetch(const Context& context) {
  Output& output = context.output;
  const LibraryOptions& options = context.arguments.library;
  const auto report = [&]() -> Result<plans::FetchReport> {
    SEGUE_ASSIGN(const auto root, root_bytes_of(options));
    return plans::fetch_plans({.directory = context.arguments.plan.into,
                               .url = library_url(options.library),
                               .root_bytes = root,
                               .components = context.arguments.plan.components,
                               .dry_run = context.arguments.dry_run},
                              os::SystemClock());
  }();
  if (!report) return output.fail(report.error());
  Json problems = Json::array();
  for (const auto& problem : report->problems) {
    problems.push_back(problem.to_string());
    output.note("segue: " + problem.to_string());
  }
  const auto exit = report->problems.empty() ? ExitCode::done : ExitCode::failed;
  const std::string text =
      report->problems.empty()
          ? fmt::format("{} in {}, {} of them changed", control::counted(report->plans, "plan"),
                        context.arguments.plan.into, report->changed)
          : fmt::format("{}; what was here before stays", report->problems.front().to_string());
  return output.finish(Json{{"done", true},
                            {"exit", static_cast<int>(exit)},
                            {"text", text},
                            {"plans", report->plans},
                            {"changed", report->changed},
                            {"removed", report->removed},
                            {"role_version", report->role_version},
                            {"problems", problems}});
}

}  // namespace

ExitCode manage_plans(const Context& context) {
  if (context.arguments.command == Command::plan_fetch) return fetch(context);
  const auto store = open_plan_store(context.arguments);
  if (!store) return context.output.fail(store.error());
  switch (context.arguments.command) {
    case Command::plan_create:
      return create(context, **store);
    case Command::plan_list:
      return list(context, **store);
    case Command::plan_show:
      return show(context, **store);
    default:
      return cancel(context, **store);
  }
}

}  // namespace segue::cli
