// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "delta/bytes.h"

// Content-defined chunks, so that what two files share is cut at the same places in both: FastCDC
// (Xia et al., USENIX ATC 2016) with a gear hash, normalised chunking of level 2, and cut-point
// skipping. The cuts are part of the store's format: protocol/delta.md.
namespace segue::delta {

inline constexpr std::size_t kMinChunkBytes = 16 * 1024;
inline constexpr std::size_t kNormalChunkBytes = 64 * 1024;
inline constexpr std::size_t kMaxChunkBytes = 256 * 1024;

// The size of the first chunk of what begins with `bytes`. Give at least kMaxChunkBytes, or all
// there is to the end of the file; 0 for nothing.
std::size_t first_chunk(ByteView bytes);

}  // namespace segue::delta
