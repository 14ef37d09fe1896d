// SPDX-License-Identifier: Apache-2.0
// Operations between files that are too large to be looked through as a whole.
#pragma once

#include <vector>

#include "delta/bytes.h"
#include "delta/operations.h"

namespace segue::delta {

// Where nothing changed since the piece before, nothing is searched. After a change the next piece
// is looked for near the place where the one before ended, and only if too much of it is not there
// a larger one in a larger part of the base.
struct LargeFileOptions {
  std::size_t min_run_bytes = std::size_t{64} << 10;  // equal bytes that are taken as they come
  std::size_t near_piece_bytes = std::size_t{256} << 10;
  std::size_t near_window_bytes = std::size_t{1} << 20;
  std::size_t near_literal_bytes = std::size_t{8} << 10;  // more is too much
  std::size_t far_piece_bytes = std::size_t{32} << 20;
  std::size_t far_window_bytes = kMaxMatchBytes;
};

// Of any sizes. Memory: 4 bytes per byte of the largest window.
std::vector<Operation> operations_of_large(ByteView base, ByteView target,
                                           const LargeFileOptions& options = {});

}  // namespace segue::delta
