// SPDX-License-Identifier: Apache-2.0
#include "cli/publisher_settings.h"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "cli/signing_keys.h"
#include "os/files.h"
#include "plans/plan_folder.h"
#include "tuf/client.h"

namespace segue::cli {

using base::ErrorCode;
using base::Result;
using library::Publisher;

namespace {

// One that cannot be read may be one that goes live, or that needs what would be removed.
Result<std::vector<plan::Plan>> plans_in(const std::string& directory) {
  SEGUE_ASSIGN(auto contents, plans::PlanFolder(directory).read());
  if (contents.unreadable.empty()) return std::move(contents.plans);
  const auto& [file, error] = contents.unreadable.front();
  return base::fail(
      ErrorCode::failed_precondition,
      "{}/{} cannot be read ({}), and may be a plan that counts: mend it or move it away",
      directory, file, error.message());
}

}  // namespace

Result<Publisher::Settings> publisher_settings(const LibraryOptions& options,
                                               const std::string& doing) {
  Publisher::Settings settings;
  settings.directory = options.library;
  while (settings.directory.size() > 1 && settings.directory.ends_with('/')) {
    settings.directory.pop_back();
  }
  SEGUE_ASSIGN(const auto root, root_bytes_of(options));
  settings.root_bytes = root.value_or("");
  SEGUE_ASSIGN(settings.signers, read_signers(options.signers, options.passphrase_file));
  settings.lifetimes.targets = std::chrono::days(options.expires_days);
  settings.lifetimes.snapshot = std::chrono::days(options.expires_days);
  settings.lifetimes.timestamp = std::chrono::days(options.timestamp_days);
  settings.holder = fmt::format("`segue {}`, process {}", doing, ::getpid());
  settings.max_wait = std::chrono::seconds(options.wait_s);
  settings.threads = options.threads;
  if (!options.plans.empty()) {
    settings.more_plans = [directory = options.plans] { return plans_in(directory); };
  }
  return settings;
}

Result<std::optional<std::string>> root_bytes_of(const LibraryOptions& options) {
  if (options.root.empty()) return std::nullopt;
  SEGUE_ASSIGN(std::string bytes, os::read_file(options.root, tuf::ClientLimits().max_root_bytes));
  return bytes;
}

bool is_url(const std::string& library) {
  return library.find("://") != std::string::npos;
}

std::string library_url(const std::string& library) {
  if (is_url(library)) return library;
  std::error_code problem;
  return "file://" + std::filesystem::absolute(library, problem).string();
}

}  // namespace segue::cli
