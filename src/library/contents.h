// SPDX-License-Identifier: Apache-2.0
// The object that a release's target names: its tree's manifest, and the chunks that its contents
// are stored as. Format: protocol/library.md.
#pragma once

#include <cstdint>
#include <vector>

#include "base/error.h"
#include "delta/manifest.h"
#include "library/release.h"

namespace segue::library {

// A piece of the stream of a tree's contents (content_stream.h), as it is stored.
struct Chunk {
  std::uint32_t size_bytes = 0;
  std::uint32_t stored_bytes = 0;  // as many as size_bytes: stored as it is; else one zstd frame
  delta::Digest content;
  delta::Digest stored;  // the object's name; as it is: equal to `content`

  [[nodiscard]] bool is_raw() const { return stored_bytes == size_bytes; }
  [[nodiscard]] ObjectRef object() const { return {stored_bytes, stored}; }
  friend bool operator==(const Chunk&, const Chunk&) = default;
};

struct Contents {
  delta::Manifest manifest;
  std::vector<Chunk> chunks;  // in the stream's order; together as long as the stream
  friend bool operator==(const Contents&, const Contents&) = default;
};

// What a release is announced with.
struct TreeSums {
  std::uint64_t bytes = 0;  // of regular files; above kMaxReleaseBytes: more than that
  std::uint64_t files = 0;  // regular files and hard links
  friend bool operator==(const TreeSums&, const TreeSums&) = default;
};
TreeSums sums_of(const delta::Manifest& manifest);

// The canonical bytes. The contents have to be as decode_contents() wants them; a fault aborts.
delta::Bytes encode_contents(const Contents& contents);
// data_loss, saying what is wrong, for bytes that encode_contents() does not write.
base::Result<Contents> decode_contents(delta::ByteView bytes);

// As it is stored: the same in one zstd frame.
delta::Bytes pack_contents(const Contents& contents);
// What the target names has to have passed check_object(). Also data_loss: it is not the tree whose
// root, bytes and files the release has. Memory: the manifest (delta/manifest.h), 72 bytes per
// chunk, and while it unpacks the encoding, at most kMaxContentsBytes.
base::Result<Contents> unpack_contents(delta::ByteView stored, const Release& release);

// A chunk as it is stored: compressed, or as it is if that is not larger. Deterministic for one
// version of libzstd.
struct StoredChunk {
  Chunk chunk;
  delta::Bytes bytes;
};
StoredChunk pack_chunk(delta::ByteView bytes);
// The chunk's bytes, with both digests checked, that of what is stored first.
base::Result<delta::Bytes> unpack_chunk(delta::ByteView stored, const Chunk& chunk);

}  // namespace segue::library
