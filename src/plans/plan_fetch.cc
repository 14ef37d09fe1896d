// SPDX-License-Identifier: Apache-2.0
#include "plans/plan_fetch.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "fetch/metadata_updater.h"
#include "library/plan_target.h"
#include "os/file_lock.h"
#include "os/files.h"
#include "plan/plan_document.h"
#include "plans/plan_folder.h"

namespace segue::plans {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using library::PlanTarget;
using plan::Plan;

constexpr base::Duration kOtherFetch = std::chrono::seconds(60);
constexpr base::Duration kFileTotal = std::chrono::seconds(60);
constexpr std::size_t kMaxTimeBytes = 64;
constexpr std::string_view kFetchedFile = "fetched";

class Fetcher {
 public:
  Fetcher(const FetchSettings& settings, const os::Clock& clock)
      : settings_(settings), clock_(clock), folder_(settings.directory) {}

  Result<FetchReport> run() {
    SEGUE_TRY(os::ensure_private_directory(metadata_directory()));
    SEGUE_ASSIGN(const os::FileLock lock,
                 os::FileLock::acquire(settings_.directory + "/lock", "segue plan", kOtherFetch));
    SEGUE_ASSIGN(const auto role, refresh());
    library::PlanTargets targets;
    if (role) {
      targets = library::plan_targets_of(*role);
      report_.role_version = role->version;
    }
    report_.problems = std::move(targets.refused);
    for (const auto& target : targets.plans) {
      if (!is_wanted(target)) continue;
      ++report_.plans;
      listed_.insert(target.id);
      if (line_is_down_) continue;
      if (auto taken = take(target); !taken) {
        const ErrorCode code = taken.error().code();
        line_is_down_ = code == ErrorCode::unavailable || code == ErrorCode::deadline_exceeded;
        report_.problems.push_back(std::move(taken).error().with("plan " + target.id));
      }
    }
    if (report_.problems.empty()) SEGUE_TRY(finish());
    return std::move(report_);
  }

 private:
  [[nodiscard]] std::string metadata_directory() const { return settings_.directory + "/metadata"; }
  [[nodiscard]] std::string path_of(const std::string& id) const {
    return fmt::format("{}/{}.json", settings_.directory, id);
  }
  [[nodiscard]] tuf::Time now() const {
    return std::chrono::floor<std::chrono::seconds>(clock_.realtime_now());
  }
  [[nodiscard]] bool is_wanted(const PlanTarget& target) const {
    const auto& components = settings_.components;
    return components.empty() ||
           std::ranges::find(components, target.component) != components.end();
  }

  Result<void> trust() const {
    const std::string path = metadata_directory() + "/root.json";
    if (::access(path.c_str(), F_OK) == 0) return {};
    if (!settings_.root_bytes) {
      return fail(ErrorCode::failed_precondition,
                  "plans of {} are not trusted yet: give the library's root.json with --root FILE",
                  settings_.url);
    }
    return fetch::trust_root(metadata_directory(), *settings_.root_bytes, now());
  }

  Result<std::optional<tuf::Targets>> refresh() {
    SEGUE_TRY(trust());
    fetch::MetadataUpdater::Settings settings{
        .directory = metadata_directory(),
        .url = fetch::join_url(settings_.url, library::kMetadataFolder),
        .limits = {},
        .client = {},
        .dry_run = settings_.dry_run};
    settings.limits.total = kFileTotal;
    fetch::MetadataUpdater updater(std::move(settings), http_);
    SEGUE_TRY(updater.refresh(now()));
    return updater.find_role(library::plan_target_path("any"));
  }

  Result<void> take(const PlanTarget& target) {
    const auto here = os::read_file(path_of(target.id), plan::kMaxPlanBytes);
    if (here && library::check_object(delta::view_of(*here), target.document)) return {};
    ++report_.changed;
    if (here && target.cancelled) {
      auto plan = plan::read_plan(*here);
      const bool is_news = plan && plan->id == target.id && plan->cancelled != target.cancelled;
      if (is_news) return cancel(*std::move(plan), *target.cancelled);
    }
    fetch::HttpRequest request{
        .url = fetch::join_url(settings_.url, library::object_path(target.document.sha256)),
        .limits = {},
        .byte_count = {}};
    request.limits.total = kFileTotal;
    request.limits.max_bytes = target.document.length;
    SEGUE_ASSIGN(const std::string bytes, http_.get(request));
    SEGUE_TRY(library::read_plan_document(target, delta::view_of(bytes)));
    return keep(target.id, bytes);
  }

  // A plan never changes but for this, so that the new document is what this one becomes by it.
  Result<void> cancel(Plan plan, const plan::Cancellation& cancellation) {
    plan.cancelled = cancellation;
    SEGUE_TRY(plan::check(plan));
    return keep(plan.id, plan::write_plan(plan));
  }

  Result<void> keep(const std::string& id, std::string_view document) const {
    if (settings_.dry_run) return {};
    return os::write_file_atomically(path_of(id), document);
  }

  // What the library has no longer is over for long, and only fills the directory.
  Result<void> finish() {
    SEGUE_ASSIGN(const auto names, folder_.ids());
    for (const auto& id : names) {
      if (listed_.contains(id)) continue;
      ++report_.removed;
      if (settings_.dry_run || ::unlink(path_of(id).c_str()) == 0 || errno == ENOENT) continue;
      return fail(base::errno_error("unlink " + path_of(id), errno));
    }
    if (settings_.dry_run) return {};
    return os::write_file_atomically(fmt::format("{}/{}", settings_.directory, kFetchedFile),
                                     tuf::to_string(now()) + "\n", 0600, os::Durability::buffered);
  }

  const FetchSettings& settings_;
  const os::Clock& clock_;
  PlanFolder folder_;
  fetch::HttpClient http_;
  FetchReport report_;
  std::set<std::string> listed_;
  bool line_is_down_ = false;
};

}  // namespace

Result<FetchReport> fetch_plans(const FetchSettings& settings, const os::Clock& clock) {
  return Fetcher(settings, clock).run();
}

std::optional<tuf::Time> fetched_at(const std::string& directory) {
  auto text = os::read_file(fmt::format("{}/{}", directory, kFetchedFile), kMaxTimeBytes);
  if (!text) return std::nullopt;
  if (text->ends_with('\n')) text->pop_back();
  const auto time = tuf::parse_time(*text);
  if (!time) return std::nullopt;
  return *time;
}

}  // namespace segue::plans
