// SPDX-License-Identifier: Apache-2.0
// How much memory this process may still take: the host's, and its control group's.
#pragma once

#include <cstdint>
#include <string>

#include "handoff/status.h"

namespace segue::handoff {

struct MemoryRoom {
  static constexpr uint64_t kUnlimited = UINT64_MAX;
  uint64_t available_bytes = kUnlimited;  // MemAvailable of the host
  uint64_t group_bytes = kUnlimited;      // to the nearest limit of the control groups above
};

// `root` stands before /proc and /sys: "" outside of tests. What cannot be read counts as
// unlimited.
MemoryRoom read_memory_room(const std::string& root);

// SEGUE_REFUSED with the figures where `needed_bytes` do not fit.
Status check_memory_room(const MemoryRoom& room, uint64_t needed_bytes, const std::string& what);

}  // namespace segue::handoff
