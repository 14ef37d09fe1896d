// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace respkv {

// Ways to fail, for tests of what a handoff does then; version 2 only.
enum class Break : std::uint8_t {
  none,
  start,
  never_ready,
  other_service,
  form,
  invariant,
  rehearsal,
  vote,
  crash_in_probation,
  hang_in_probation,
};

// If the successor dies in probation: see segue_on_crash.
enum class OnCrash : std::uint8_t { replay, resume, restart };

struct Options {
  std::vector<std::string> listen;  // addresses as segue_listen() takes them; at least one
  std::string directory;            // empty: the environment's SEGUE_DIRECTORY
  std::uint32_t budget_us = 0;      // 0: libsegue's default, likewise below
  std::uint32_t probation_ms = 0;
  std::uint32_t threads = 1;  // event loops
  std::uint32_t journal_bytes = 0;
  OnCrash on_crash = OnCrash::replay;
  Break breaks = Break::none;
  bool help = false;
};

inline constexpr std::uint32_t kMaxThreads = 64;

// The reason why they cannot be used, or "".
std::string parse_options(int argc, const char* const* argv, Options& options);

std::string usage();

}  // namespace respkv
