// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace segue::handoff {

// CLOCK_MONOTONIC in nanoseconds: the same clock in both processes of one host.
uint64_t monotonic_ns();

}  // namespace segue::handoff
