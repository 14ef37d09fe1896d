// SPDX-License-Identifier: Apache-2.0
#include "delta/chunker.h"

#include <algorithm>

#include "delta/gear.h"

namespace segue::delta {

namespace {

// 2^16 is the normal size: two bits more before it and two less after it draw sizes towards it. The
// highest bits of a gear hash depend on the most bytes.
constexpr std::uint64_t high_bits(int count) {
  return ~std::uint64_t{0} << (64 - count);
}
constexpr std::uint64_t kStrictMask = high_bits(18);
constexpr std::uint64_t kLooseMask = high_bits(14);

}  // namespace

std::size_t first_chunk(ByteView bytes) {
  if (bytes.size() <= kMinChunkBytes) return bytes.size();
  const std::size_t end = std::min(bytes.size(), kMaxChunkBytes);
  const std::size_t normal = std::min(end, kNormalChunkBytes);
  std::uint64_t hash = 0;
  std::size_t i = kMinChunkBytes;
  for (; i < normal; ++i) {
    hash = (hash << 1) + kGear[bytes[i]];
    if ((hash & kStrictMask) == 0) return i + 1;
  }
  for (; i < end; ++i) {
    hash = (hash << 1) + kGear[bytes[i]];
    if ((hash & kLooseMask) == 0) return i + 1;
  }
  return end;
}

}  // namespace segue::delta
