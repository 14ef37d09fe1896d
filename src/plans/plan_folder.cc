// SPDX-License-Identifier: Apache-2.0
#include "plans/plan_folder.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "os/files.h"
#include "plan/plan_document.h"

namespace segue::plans {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using plan::Plan;

constexpr std::string_view kEnding = ".json";
constexpr std::size_t kMaxReportBytes = std::size_t{64} << 10;
constexpr std::size_t kMaxReports = 1'000;

// Those that end with .json, sorted.
Result<std::vector<std::string>> names_in(const std::string& directory, std::size_t max_count) {
  std::vector<std::string> names;
  std::error_code error;
  std::filesystem::directory_iterator entries(directory, error);
  if (error == std::errc::no_such_file_or_directory) return names;
  for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error)) {
    const std::string name = entries->path().filename().string();
    if (!name.ends_with(kEnding) || name.starts_with('.')) continue;
    if (names.size() == max_count) {
      return fail(ErrorCode::resource_exhausted, "{} holds more than {} files: move old ones away",
                  directory, max_count);
    }
    names.push_back(name);
  }
  if (error) return fail(base::errno_error("list " + directory, error.value()));
  std::sort(names.begin(), names.end());
  return names;
}

Result<Plan> read_file(const std::string& directory, const std::string& name) {
  SEGUE_ASSIGN(const std::string bytes, os::read_file(directory + "/" + name, plan::kMaxPlanBytes));
  SEGUE_ASSIGN(Plan plan, plan::read_plan(bytes));
  if (plan.id + std::string(kEnding) != name) {
    return fail(ErrorCode::data_loss, "holds plan {}, whose file would be {}{}", plan.id, plan.id,
                kEnding);
  }
  return plan;
}

plan::Instant first_time(const Plan& plan) {
  plan::Instant first = plan.sites.front().at;
  for (const auto& site : plan.sites) first = std::min(first, site.at);
  return first;
}

}  // namespace

std::string PlanFolder::path_of(const std::string& id) const {
  return directory_ + "/" + id + std::string(kEnding);
}

Result<PlanFolder::Contents> PlanFolder::read() const {
  SEGUE_ASSIGN(const auto names, names_in(directory_, kMaxPlanFiles));
  Contents contents;
  for (const auto& name : names) {
    auto plan = read_file(directory_, name);
    if (plan) {
      contents.plans.push_back(*std::move(plan));
    } else {
      contents.unreadable.push_back({name, std::move(plan).error()});
    }
  }
  sort_by_time(contents.plans);
  return contents;
}

Result<std::vector<std::string>> PlanFolder::ids() const {
  SEGUE_ASSIGN(auto names, names_in(directory_, kMaxPlanFiles));
  for (auto& name : names) name.resize(name.size() - kEnding.size());
  return names;
}

Result<Plan> PlanFolder::read(const std::string& id) const {
  SEGUE_ASSIGN(const auto names, names_in(directory_, kMaxPlanFiles));
  std::string similar;
  for (const auto& name : names) {
    if (name == id + std::string(kEnding)) {
      auto plan = read_file(directory_, name);
      if (plan) return plan;
      return fail(std::move(plan).error().with(directory_ + "/" + name));
    }
    if (similar.empty() && !id.empty() && name.starts_with(id)) {
      similar = name.substr(0, name.size() - kEnding.size());
    }
  }
  return fail(ErrorCode::not_found, "there is no plan '{}' in {}{}; see `segue plan list`",
              id.substr(0, 80), directory_,
              similar.empty() ? "" : fmt::format(", did you mean {}?", similar));
}

Result<void> PlanFolder::add(const Plan& plan) const {
  SEGUE_TRY(os::ensure_private_directory(directory_));
  auto added = os::add_file_atomically(path_of(plan.id), plan::write_plan(plan));
  if (added || added.error().code() != ErrorCode::already_exists) return added;
  return fail(
      ErrorCode::already_exists,
      "there is a plan '{}' already: look at it with `segue plan show`, or name the new one "
      "with --id",
      plan.id);
}

Result<void> PlanFolder::replace(const Plan& plan) const {
  return os::write_file_atomically(path_of(plan.id), plan::write_plan(plan));
}

Result<std::vector<std::string>> PlanFolder::reports(const std::string& id) const {
  SEGUE_ASSIGN(const auto names, names_in(report_directory(), kMaxReports * 100));
  std::vector<std::string> reports;
  for (const auto& name : names) {
    if (!name.starts_with(id + ",") || reports.size() == kMaxReports) continue;
    SEGUE_ASSIGN(std::string report,
                 os::read_file(report_directory() + "/" + name, kMaxReportBytes));
    reports.push_back(std::move(report));
  }
  return reports;
}

void sort_by_time(std::vector<Plan>& plans) {
  std::sort(plans.begin(), plans.end(), [](const Plan& a, const Plan& b) {
    return std::pair(first_time(a), a.id) < std::pair(first_time(b), b.id);
  });
}

std::string report_file_name(const std::string& plan, const std::string& site,
                             const std::string& host) {
  return fmt::format("{},{},{}{}", plan, site, host, kEnding);
}

}  // namespace segue::plans
