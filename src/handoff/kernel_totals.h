// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace segue::handoff {

struct KernelTotals {
  uint64_t consumed = 0;  // bytes that some process has read
  uint64_t sent = 0;      // bytes that some process has written
};

enum class TotalsKind {
  known,
  ended,   // the connection is over, for both sides: its peer reset it, or is gone
  unknown  // the kernel does not count for this kind of socket
};

// What all processes together have done on a connection, up to a constant of the connection.
TotalsKind kernel_totals(int fd, KernelTotals& totals);

}  // namespace segue::handoff
