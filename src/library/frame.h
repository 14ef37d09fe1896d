// SPDX-License-Identifier: Apache-2.0
// One zstd frame (RFC 8878) that says how much it holds.
#pragma once

#include "base/error.h"
#include "delta/bytes.h"

namespace segue::library {

// What a reader has to have room for; more makes nothing smaller that is stored here.
inline constexpr int kFrameWindowLog = 23;

// Deterministic for one version of libzstd. Level: 1 to 22. Threads: any number at once.
delta::Bytes compress_frame(delta::ByteView bytes, int level);

// data_loss: it is not exactly one frame, it holds more than `max_bytes` or does not say how much,
// or its window is larger than 2^kFrameWindowLog bytes. Never asks for more memory than max_bytes.
base::Result<delta::Bytes> decompress_frame(delta::ByteView frame, std::uint64_t max_bytes);

}  // namespace segue::library
