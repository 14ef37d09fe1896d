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

constexpr std::size_t kBufferBytes = std::size_t{1} << 20;

}  // namespace

StreamCutter::StreamCutter(ChunkSink sink) : sink_(std::move(sink)) {
  waiting_.reserve(kBufferBytes);
}

Result<void> StreamCutter::add(ByteView bytes) {
  while (!bytes.empty()) {
    const ByteView taken = bytes.first(std::min(bytes.size(), kBufferBytes - waiting_.size()));
    waiting_.insert(waiting_.end(), taken.begin(), taken.end());
    bytes = bytes.subspan(taken.size());
    if (waiting_.size() == kBufferBytes) SEGUE_TRY(cut(delta::kMaxChunkBytes));
  }
  return {};
}

Result<void> StreamCutter::finish() {
  return cut(1);
}

// As long as so many bytes wait.
Result<void> StreamCutter::cut(std::size_t min_bytes) {
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
  StreamCutter cutter(sink);
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
