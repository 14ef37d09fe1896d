// SPDX-License-Identifier: Apache-2.0
#include "library/contents.h"

#include <algorithm>
#include <array>

#include "base/assert.h"
#include "delta/chunker.h"
#include "library/content_stream.h"
#include "library/frame.h"

namespace segue::library {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using delta::ByteReader;
using delta::Bytes;
using delta::ByteView;
using delta::Digest;

constexpr std::array<std::uint8_t, 8> kMagic = {'S', 'E', 'G', 'C', 'O', 'N', 'T', 1};
// Chunks are read once a release and host at most, and made once.
constexpr int kChunkLevel = 12;
constexpr int kContentsLevel = 19;
// The shortest chunk of the encoding: two sizes and one digest.
constexpr std::size_t kMinChunkEncoding = 2 + Digest::kBytes;

void append_digest(Bytes& out, const Digest& digest) {
  out.insert(out.end(), digest.bytes.begin(), digest.bytes.end());
}

Digest read_digest(ByteReader& reader) {
  Digest digest;
  std::ranges::copy(reader.take(Digest::kBytes), digest.bytes.begin());
  return digest;
}

Chunk read_chunk(ByteReader& reader) {
  Chunk chunk;
  const std::uint64_t size = reader.varint();
  const std::uint64_t stored = reader.varint();
  if (size == 0 || size > delta::kMaxChunkBytes || stored == 0 || stored > size) {
    reader.fail();
    return chunk;
  }
  chunk.size_bytes = static_cast<std::uint32_t>(size);
  chunk.stored_bytes = static_cast<std::uint32_t>(stored);
  chunk.content = read_digest(reader);
  chunk.stored = chunk.is_raw() ? chunk.content : read_digest(reader);
  return chunk;
}

Result<void> check_chunks(const Contents& contents) {
  SEGUE_ASSIGN(const ContentStream stream, stream_of(contents.manifest));
  std::uint64_t left = stream.size_bytes;
  for (const Chunk& chunk : contents.chunks) {
    if (chunk.size_bytes > left) {
      return fail(ErrorCode::data_loss, "the chunks hold more than the {} bytes of the tree",
                  stream.size_bytes);
    }
    left -= chunk.size_bytes;
  }
  if (left == 0) return {};
  return fail(ErrorCode::data_loss, "the chunks lack {} of the {} bytes of the tree", left,
              stream.size_bytes);
}

}  // namespace

TreeSums sums_of(const delta::Manifest& manifest) {
  TreeSums sums;
  for (const auto& entry : manifest.entries) {
    // Past the limit it is refused anyway, and one more file cannot wrap it around.
    if (sums.bytes <= kMaxReleaseBytes) sums.bytes += entry.size_bytes;
    const bool is_file =
        entry.type == delta::EntryType::regular || entry.type == delta::EntryType::hard_link;
    sums.files += is_file ? 1 : 0;
  }
  return sums;
}

Bytes encode_contents(const Contents& contents) {
  SEGUE_ASSERT(check_chunks(contents).has_value());
  const Bytes manifest = delta::encode(contents.manifest);
  Bytes bytes(kMagic.begin(), kMagic.end());
  delta::append_varint(bytes, manifest.size());
  bytes.insert(bytes.end(), manifest.begin(), manifest.end());
  delta::append_varint(bytes, contents.chunks.size());
  for (const Chunk& chunk : contents.chunks) {
    delta::append_varint(bytes, chunk.size_bytes);
    delta::append_varint(bytes, chunk.stored_bytes);
    append_digest(bytes, chunk.content);
    if (!chunk.is_raw()) append_digest(bytes, chunk.stored);
  }
  return bytes;
}

Result<Contents> decode_contents(ByteView bytes) {
  ByteReader reader(bytes);
  if (!std::ranges::equal(reader.take(kMagic.size()), kMagic)) {
    return fail(ErrorCode::data_loss, "not the contents of a release, version 1");
  }
  const ByteView manifest = reader.take(reader.varint());
  if (!reader.ok()) return fail(ErrorCode::data_loss, "the contents are cut off in the manifest");
  Contents contents;
  SEGUE_ASSIGN(contents.manifest, delta::decode_manifest(manifest));
  const std::uint64_t count = reader.varint();
  // A count cannot ask for more memory than came in.
  if (!reader.ok() || count > bytes.size() / kMinChunkEncoding) {
    return fail(ErrorCode::data_loss, "the contents name {} chunks, which they cannot hold", count);
  }
  contents.chunks.reserve(static_cast<std::size_t>(count));
  for (std::uint64_t i = 0; i < count && reader.ok(); ++i) {
    contents.chunks.push_back(read_chunk(reader));
  }
  if (!reader.ok() || !reader.at_end()) {
    return fail(ErrorCode::data_loss, "the contents are cut off or malformed at chunk {}",
                contents.chunks.size());
  }
  SEGUE_TRY(check_chunks(contents));
  return contents;
}

Bytes pack_contents(const Contents& contents) {
  return compress_frame(encode_contents(contents), kContentsLevel);
}

Result<Contents> unpack_contents(ByteView stored, const Release& release) {
  SEGUE_ASSIGN(const Bytes bytes, decompress_frame(stored, kMaxContentsBytes));
  SEGUE_ASSIGN(Contents contents, decode_contents(bytes));
  if (delta::root_of(contents.manifest) != release.root) {
    return fail(ErrorCode::data_loss, "the contents of {} are not those of its tree {}",
                target_path(release.component, release.version), release.root.hex());
  }
  if (sums_of(contents.manifest) != TreeSums{release.bytes, release.files}) {
    return fail(ErrorCode::data_loss,
                "the contents of {} have other sums than it was announced with",
                target_path(release.component, release.version));
  }
  return contents;
}

StoredChunk pack_chunk(ByteView bytes) {
  SEGUE_ASSERT(!bytes.empty() && bytes.size() <= delta::kMaxChunkBytes);
  StoredChunk packed{{}, compress_frame(bytes, kChunkLevel)};
  packed.chunk.size_bytes = static_cast<std::uint32_t>(bytes.size());
  packed.chunk.content = delta::digest_of(bytes);
  if (packed.bytes.size() >= bytes.size()) {
    packed.bytes.assign(bytes.begin(), bytes.end());
    packed.chunk.stored = packed.chunk.content;
  } else {
    packed.chunk.stored = delta::digest_of(packed.bytes);
  }
  packed.chunk.stored_bytes = static_cast<std::uint32_t>(packed.bytes.size());
  return packed;
}

Result<Bytes> unpack_chunk(ByteView stored, const Chunk& chunk) {
  SEGUE_TRY(check_object(stored, chunk.object()));
  if (chunk.is_raw()) return Bytes(stored.begin(), stored.end());
  SEGUE_ASSIGN(Bytes bytes, decompress_frame(stored, chunk.size_bytes));
  if (bytes.size() != chunk.size_bytes || delta::digest_of(bytes) != chunk.content) {
    return fail(ErrorCode::data_loss, "chunk {} holds other bytes than its release says",
                chunk.stored.hex());
  }
  return bytes;
}

}  // namespace segue::library
