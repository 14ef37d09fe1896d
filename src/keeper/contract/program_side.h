// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "keeper/types.h"

namespace segue::keeper {

// How far an instance is on its way out.
enum class Leaving { no, draining, cutting, terminated, killed };
inline constexpr int kLeavingCount = 5;

// What is known of an instance that does not link libsegue, besides what all contracts have.
struct ProgramSide {
  bool is_ready = false;
  bool said_ready = false;
  bool accepting = false;
  bool stored = false;  // a descriptor
  bool healthy = false;
  bool reloading = false;
  bool awaits_main = false;  // it went to the background, and its main process is looked for
  std::string status;
  MonotonicTime next_look{};
  std::optional<base::Duration> watchdog;
  MonotonicTime last_ping{};

  Leaving leaving = Leaving::no;
  MonotonicTime leaving_until{};  // of the present step
  MonotonicTime next_count{};
  MonotonicTime cut_until{};
  std::uint64_t at_stop = 0;  // connections when it was told to end
  std::uint64_t left = 0;     // … when they were last counted
  std::uint64_t cut = 0;
  std::uint64_t kept = 0;  // … in the store, when they were last counted
  bool was_limit = false;
};

}  // namespace segue::keeper
