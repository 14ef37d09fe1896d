// SPDX-License-Identifier: Apache-2.0
// A release, from its library into a place, ready to go live.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "os/clock.h"
#include "staging/place.h"
#include "tree/builder.h"

namespace segue::staging {

enum class Way : std::uint8_t {
  present,  // it was there
  copy,     // of a tree that is the same under another name
  delta,
  chunks,
};
std::string_view to_string(Way way);

struct StageProgress {
  std::string_view doing;  // "fetching", "rebuilding", "verifying", …
  std::uint64_t bytes_done = 0;
  std::uint64_t bytes = 0;  // 0: not known
};

struct StageRequest {
  std::string url;  // of the library: http, https or file
  std::string component;
  std::string version;
  // What to trust at first; needed once per place, and not looked at again.
  std::optional<std::string> root_bytes;
  tree::Sharing sharing = tree::Sharing::hard_link;
  std::vector<std::string> writable;  // patterns of paths that are never shared (matches_path())
  std::uint64_t max_bytes_per_second = 0;  // 0: as fast as it goes
  // For relays, which let what goes live first have the line, and say how far a host is.
  std::optional<std::chrono::sys_seconds> go_live_at;
  std::string host;
  // How long it waits, at most, for a delta that the library says is being made; no longer than
  // half of the time until `go_live_at`.
  base::Duration delta_wait{};
  bool dry_run = false;
  std::function<void(const StageProgress&)> progress;
  std::function<void(base::Duration)> pause = nullptr;  // sleeps; without it nothing is waited for
};

struct StageReport {
  TreeRecord tree;  // in a dry run without number and directory
  Way way = Way::present;
  std::string from;                 // the tree that was changed: "chat 1.2.2"; empty: none
  std::uint64_t fetched_bytes = 0;  // of objects; in a dry run what would be, of the delta
  tree::BuildReport build;
  std::vector<std::string> notes;  // why it did not go the shorter way; what was repaired
};

// Refreshes what is trusted, takes the release's delta from a tree that the place has, or else the
// chunks that it lacks, rebuilds the tree beside the live one, reads all of it again, and records
// it. What was fetched stays for the next attempt until the tree is there. An error leaves the
// place as it was. A tree of this release that is there already is read again, and made anew if it
// changed. Each version has a tree of its own, so that a switch and an undo know which is live; one
// whose files are all those of another version is made of these, and nothing is fetched.
//
// failed_precondition: no root is trusted yet. not_found: no such release. data_loss: the library
// has something else than was signed. unavailable, deadline_exceeded: the line; try again.
// resource_exhausted: the disk is full, or a bound was reached.
base::Result<StageReport> stage(Place& place, const StageRequest& request, const os::Clock& clock);

// Whether a pattern such as "data/*" or "var" means the path: one of its folders or itself, with
// '*', '?' and [sets] within a name (glob(7)).
bool matches_path(std::string_view path, std::string_view pattern);

inline constexpr std::size_t kMaxWaitingTrees = 3;  // the oldest goes when one more comes

}  // namespace segue::staging
