// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

namespace respkv {

struct KernelTotals {
  std::uint64_t received;  // bytes that some process has read
  std::uint64_t sent;      // bytes that some process has written
};

// What all processes together have done on this TCP connection. nullopt where the kernel does not
// say: for sockets that are not TCP, and broken ones.
std::optional<KernelTotals> kernel_totals(int fd);

}  // namespace respkv
