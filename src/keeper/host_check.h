// SPDX-License-Identifier: Apache-2.0
// Whether the host has room for a second instance. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace segue::keeper {

struct HostFigures {
  std::uint64_t predecessor_bytes = 0;  // what the present instance has for itself
  std::uint64_t arena_bytes = 0;        // … and shares: passed, not copied
  std::uint64_t available_bytes = 0;
  std::optional<std::uint64_t> cgroup_room_bytes;
  std::uint64_t promised_bytes = 0;  // to attempts of other components that are under way
  double load = 0;
  std::uint32_t cpus = 1;
};

struct HostVerdict {
  bool fits = true;
  std::uint64_t needed_bytes = 0;
  std::string text;  // the figures, for a person
};

// What a new process takes before it has received anything.
inline constexpr std::uint64_t kProgramBytes = std::uint64_t{16} << 20;

// The successor is expected to become as large as the predecessor, and both live until the commit.
// `max_load_percent`: runnable processes per hundred CPUs.
HostVerdict check_host(const HostFigures& figures, std::uint32_t max_load_percent);

}  // namespace segue::keeper
