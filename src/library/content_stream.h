// SPDX-License-Identifier: Apache-2.0
// All contents of a tree as one stream of bytes, and the chunks that it is cut into: small files
// share chunks, and what two trees have in common is cut at the same places. Both sides cut with
// this: a host finds chunks that it needs in the tree that it has.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/error.h"
#include "delta/delta.h"
#include "delta/manifest.h"

namespace segue::library {

// Where a content stands in the stream.
struct Segment {
  std::uint32_t entry = 0;  // the first regular file that has it
  std::uint64_t offset_bytes = 0;
  std::uint64_t size_bytes = 0;
};

// The contents of the manifest's regular files in its order, each distinct one once, empty ones
// never.
struct ContentStream {
  std::vector<Segment> segments;  // by offset, without gaps
  std::uint64_t size_bytes = 0;
};

// data_loss: two files are said to have one digest and different sizes, or the sum is above 2^50.
base::Result<ContentStream> stream_of(const delta::Manifest& manifest);

// Gets each chunk, in order. `bytes` are borrowed for the call. An error ends the cutting.
using ChunkSink =
    std::function<base::Result<void>(std::uint64_t offset_bytes, delta::ByteView bytes)>;

// Cuts what is added, piece by piece, as if it were one file (delta/chunker.h). Holds 1 MiB.
class StreamCutter {
 public:
  explicit StreamCutter(ChunkSink sink);

  base::Result<void> add(delta::ByteView bytes);
  // Cuts what is left.
  base::Result<void> finish();

 private:
  base::Result<void> cut(std::size_t min_bytes);

  ChunkSink sink_;
  delta::Bytes waiting_;
  std::uint64_t offset_bytes_ = 0;
};

// Cuts a tree's whole stream. failed_precondition: a file has another size than its manifest says.
base::Result<void> cut_chunks(const ContentStream& stream, const delta::Manifest& manifest,
                              delta::TreeReader& files, const ChunkSink& sink);

}  // namespace segue::library
