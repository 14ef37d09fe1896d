// SPDX-License-Identifier: Apache-2.0
#include "library/content_stream.h"

#include <algorithm>
#include <map>

#include "delta/chunker.h"
#include "library/release.h"

namespace segue::library {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using delta::Bytes;
using delta::ByteView;

// Cuts what is added; keeps less than a chunk between calls.
class Cutter {
 public:
  explicit Cutter(const ChunkSink& sink) : sink_(sink) { waiting_.reserve(kBufferBytes); }

  Result<void> add(ByteView bytes) {
    while (!bytes.empty()) {
      const std::size_t taken = std::min(bytes.size(), kBufferBytes - waiting_.size());
      waiting_.insert(waiting_.end(), bytes.begin(),
                      bytes.begin() + static_cast<std::ptrdiff_t>(taken));
      bytes = bytes.subspan(taken);
      if (waiting_.size() == kBufferBytes) SEGUE_TRY(cut(delta::kMaxChunkBytes));
    }
    return {};
  }
  Result<void> finish() { return cut(1); }

 private:
  static constexpr std::size_t kBufferBytes = std::size_t{1} << 20;

  // As long as so many bytes wait.
  Result<void> cut(std::size_t min_bytes) {
    ByteView left = waiting_;
    while (left.size() >= min_bytes) {
      const std::size_t size = delta::first_chunk(left);
      SEGUE_TRY(sink_(offset_bytes_, left.first(size)));
      offset_bytes_ += size;
      left = left.subspan(size);
    }
    waiting_.erase(waiting_.begin(), waiting_.end() - static_cast<std::ptrdiff_t>(left.size()));
    return {};
  }

  const ChunkSink& sink_;
  Bytes waiting_;
  std::uint64_t offset_bytes_ = 0;
};

}  // namespace

Result<ContentStream> stream_of(const delta::Manifest& manifest) {
  ContentStream stream;
  std::map<delta::Digest, std::uint64_t> sizes;
  for (std::uint32_t i = 0; i < manifest.entries.size(); ++i) {
    const delta::Entry& entry = manifest.entries[i];
    if (entry.type != delta::EntryType::regular || entry.size_bytes == 0) continue;
    const auto [known, is_new] = sizes.emplace(entry.content, entry.size_bytes);
    if (known->second != entry.size_bytes) {
      return fail(ErrorCode::data_loss, "'{}' has the digest of a file of another size",
                  entry.path);
    }
    if (!is_new) continue;
    if (entry.size_bytes > kMaxReleaseBytes - stream.size_bytes) {
      return fail(ErrorCode::data_loss, "the tree's contents are more than {} bytes",
                  kMaxReleaseBytes);
    }
    stream.segments.push_back({i, stream.size_bytes, entry.size_bytes});
    stream.size_bytes += entry.size_bytes;
  }
  return stream;
}

Result<void> cut_chunks(const ContentStream& stream, const delta::Manifest& manifest,
                        delta::TreeReader& files, const ChunkSink& sink) {
  Cutter cutter(sink);
  for (const Segment& segment : stream.segments) {
    SEGUE_ASSIGN(const auto file, files.open(segment.entry));
    if (file->bytes().size() != segment.size_bytes) {
      return fail(ErrorCode::failed_precondition, "'{}' has {} bytes, its manifest says {}",
                  manifest.entries[segment.entry].path, file->bytes().size(), segment.size_bytes);
    }
    SEGUE_TRY(cutter.add(file->bytes()));
  }
  return cutter.finish();
}

}  // namespace segue::library
