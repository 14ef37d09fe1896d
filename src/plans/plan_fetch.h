// SPDX-License-Identifier: Apache-2.0
// The plans of a library, verified, into a directory of this host (protocol/library.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "os/clock.h"
#include "tuf/metadata.h"

namespace segue::plans {

struct FetchSettings {
  std::string directory;  // its own: ID.json each (PlanFolder), and below it what is trusted
  std::string url;        // of the library: http, https or file
  // What to trust at first; needed once, and not looked at again.
  std::optional<std::string> root_bytes;
  std::vector<std::string> components;  // empty: the plans of all
  bool dry_run = false;                 // verifies, and writes no plan
};

struct FetchReport {
  std::uint64_t role_version = 0;  // 0: the library has no plans so far
  std::size_t plans = 0;           // that the library has, of these components
  std::size_t changed = 0;         // that were not here, or not like this
  std::size_t removed = 0;         // that the library has no longer
  // Plans whose document could not be had, or cannot be read; the others are here.
  std::vector<base::Error> problems;
};

// Refreshes what is trusted, then makes the directory hold what the role of plans says, each plan
// whole, the old document until the new one is there. A plan that was cancelled is so for whoever
// has it as soon as the role says so. Whatever fails, what is in the directory was signed, and
// stays; a server can keep it from changing, and cannot change, remove or roll back any of it.
//
// failed_precondition: no root is trusted yet. unavailable, deadline_exceeded: the line.
// data_loss: what came is not what was signed. One at a time in a directory.
base::Result<FetchReport> fetch_plans(const FetchSettings& settings, const os::Clock& clock);

// When fetch_plans() last had everything; nothing: never.
std::optional<tuf::Time> fetched_at(const std::string& directory);

}  // namespace segue::plans
