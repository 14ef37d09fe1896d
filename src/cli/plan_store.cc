// SPDX-License-Identifier: Apache-2.0
#include "cli/plan_store.h"

#include <fmt/format.h>

#include <algorithm>

#include "cli/plan_text.h"
#include "cli/publisher_settings.h"
#include "crypto/digest.h"
#include "library/library.h"
#include "library/plan_target.h"
#include "os/clock.h"
#include "os/paths.h"
#include "plans/plan_fetch.h"

namespace segue::cli {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using library::Publisher;
using plan::Plan;
using plans::PlanFolder;

class FolderStore : public PlanStore {
 public:
  explicit FolderStore(PlanFolder folder) : folder_(std::move(folder)) {}

  [[nodiscard]] Result<PlanFolder::Contents> read() const override { return folder_.read(); }
  [[nodiscard]] Result<Plan> read(const std::string& id) const override { return folder_.read(id); }
  Result<void> add(const Plan& plan, bool dry_run) override {
    return dry_run ? Result<void>() : folder_.add(plan);
  }
  Result<Plan> cancel(const std::string& id, const plan::Cancellation& cancellation,
                      bool dry_run) override {
    SEGUE_ASSIGN(Plan plan, folder_.read(id));
    if (plan.cancelled) {
      return fail(ErrorCode::failed_precondition, "plan {} was cancelled {}", plan.id,
                  utc_text(plan.cancelled->at));
    }
    plan.cancelled = cancellation;
    SEGUE_TRY(plan::check(plan));
    if (!dry_run) SEGUE_TRY(folder_.replace(plan));
    return plan;
  }
  [[nodiscard]] Result<std::vector<std::string>> reports(const std::string& id) const override {
    return folder_.reports(id);
  }
  [[nodiscard]] std::string where() const override { return folder_.directory(); }

 private:
  PlanFolder folder_;
};

// The library's own directory.
class LibraryStore : public PlanStore {
 public:
  LibraryStore(const LibraryOptions& options, PlanFolder own) : options_(options), own_(own) {}

  [[nodiscard]] Result<PlanFolder::Contents> read() const override {
    SEGUE_ASSIGN(const auto opened, library::Library::open(options_.library));
    PlanFolder::Contents contents;
    SEGUE_ASSIGN(contents.plans, library::plans_of(opened.repository(), opened.objects()));
    plans::sort_by_time(contents.plans);
    return contents;
  }
  [[nodiscard]] Result<Plan> read(const std::string& id) const override {
    SEGUE_ASSIGN(const auto contents, read());
    const auto found = std::ranges::find(contents.plans, id, &Plan::id);
    if (found != contents.plans.end()) return *found;
    return fail(ErrorCode::not_found,
                "there is no plan '{}' in {}; see `segue plan list --library {}`", id.substr(0, 80),
                options_.library, options_.library);
  }
  Result<void> add(const Plan& plan, bool dry_run) override {
    SEGUE_ASSIGN(Publisher publisher, open("plan create"));
    return publisher.add_plan(plan, options_.delegate, dry_run);
  }
  Result<Plan> cancel(const std::string& id, const plan::Cancellation& cancellation,
                      bool dry_run) override {
    SEGUE_ASSIGN(Publisher publisher, open("plan cancel"));
    return publisher.cancel_plan(id, cancellation, dry_run);
  }
  [[nodiscard]] Result<std::vector<std::string>> reports(const std::string& id) const override {
    return own_.reports(id);
  }
  [[nodiscard]] std::string where() const override { return "the library " + options_.library; }

 private:
  [[nodiscard]] Result<Publisher> open(const std::string& doing) const {
    SEGUE_ASSIGN(Publisher::Settings settings, publisher_settings(options_, doing));
    return Publisher::open(std::move(settings), clock_);
  }

  const LibraryOptions& options_;
  PlanFolder own_;
  os::SystemClock clock_;
};

// A library at a URL, as far as it was fetched.
class FetchedStore final : public FolderStore {
 public:
  FetchedStore(PlanFolder fetched, PlanFolder own, std::string url)
      : FolderStore(std::move(fetched)), own_(std::move(own)), url_(std::move(url)) {}

  Result<void> add(const Plan& /*plan*/, bool /*dry_run*/) override { return to_read_only(); }
  Result<Plan> cancel(const std::string& /*id*/, const plan::Cancellation& /*cancellation*/,
                      bool /*dry_run*/) override {
    SEGUE_TRY(to_read_only());
    return Plan{};
  }
  [[nodiscard]] Result<std::vector<std::string>> reports(const std::string& id) const override {
    return own_.reports(id);
  }
  [[nodiscard]] std::string where() const override { return url_; }

 private:
  [[nodiscard]] Result<void> to_read_only() const {
    return fail(ErrorCode::failed_precondition,
                "{} can only be read: name the library's directory, where it is published", url_);
  }

  PlanFolder own_;
  std::string url_;
};

Result<std::unique_ptr<PlanStore>> fetched_store(const LibraryOptions& options, PlanFolder own,
                                                 const std::string& state) {
  const std::string key = crypto::to_hex(crypto::digest_of(options.library)).substr(0, 16);
  plans::FetchSettings settings{.directory = fmt::format("{}/libraries/{}/plans", state, key),
                                .url = options.library};
  SEGUE_ASSIGN(settings.root_bytes, root_bytes_of(options));
  SEGUE_ASSIGN(const auto report, plans::fetch_plans(settings, os::SystemClock()));
  if (!report.problems.empty()) return fail(base::Error(report.problems.front()));
  return std::make_unique<FetchedStore>(PlanFolder(settings.directory), std::move(own),
                                        options.library);
}

}  // namespace

Result<std::unique_ptr<PlanStore>> open_plan_store(const Arguments& arguments) {
  const LibraryOptions& options = arguments.library;
  SEGUE_ASSIGN(const os::Directories directories, os::directories());
  const std::string& named = arguments.plan.directory;
  PlanFolder own(named.empty() ? directories.state + "/plans" : named);
  if (options.library.empty()) return std::make_unique<FolderStore>(std::move(own));
  if (is_url(options.library)) return fetched_store(options, std::move(own), directories.state);
  return std::make_unique<LibraryStore>(options, std::move(own));
}

}  // namespace segue::cli
