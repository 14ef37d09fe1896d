// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "delta/bytes.h"

namespace segue::delta {

// Take `copied` bytes of the base from `base_at` on, corrected by a residual, then `literal` bytes
// that the base does not have. One after the other they make a file (Percival 2003, bsdiff).
struct Operation {
  std::uint64_t base_at = 0;
  std::uint64_t copied = 0;
  std::uint64_t literal = 0;
};

inline constexpr std::size_t kMaxOperations = std::size_t{1} << 18;  // of one file

// How many bytes both begin with.
std::size_t common_prefix(ByteView left, ByteView right);

struct MatchOptions {
  // A new alignment has to explain so many bytes more than the old one goes on to explain.
  std::size_t min_gain_bytes = 24;
};

// Operations that make `target` of `base`, both at most kMaxMatchBytes. Memory: 4 bytes per byte of
// the base.
inline constexpr std::size_t kMaxMatchBytes = std::size_t{96} << 20;
std::vector<Operation> find_operations(ByteView base, ByteView target, const MatchOptions& options);

}  // namespace segue::delta
