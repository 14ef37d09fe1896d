// SPDX-License-Identifier: Apache-2.0
// Publisher: the tree's contents become chunks.
#include <fmt/format.h>

#include "library/content_stream.h"
#include "library/parallel.h"
#include "library/publisher.h"

namespace segue::library {

using base::ErrorCode;
using base::fail;
using base::Result;
using delta::Bytes;
using delta::ByteView;

namespace {

// Gathers chunks, and compresses many at once: those that the library lacks.
class ChunkWriter {
 public:
  ChunkWriter(ObjectStore& objects, ChunkCache& cache, unsigned threads)
      : objects_(objects), cache_(cache), threads_(threads) {}

  Result<void> add(ByteView bytes) {
    waiting_.emplace_back(bytes.begin(), bytes.end());
    waiting_bytes_ += bytes.size();
    return waiting_bytes_ < kBatchBytes ? Result<void>() : write();
  }

  Result<void> write() {
    std::vector<std::optional<StoredChunk>> packed(waiting_.size());
    std::vector<Chunk> known(waiting_.size());
    for_each_in_parallel(waiting_.size(), threads_, [&](std::size_t i) {
      const Chunk* there = cache_.find(delta::digest_of(waiting_[i]));
      if (there != nullptr && there->size_bytes == waiting_[i].size() &&
          objects_.is_whole(there->object())) {
        known[i] = *there;
      } else {
        packed[i] = pack_chunk(waiting_[i]);
      }
    });
    for (std::size_t i = 0; i < waiting_.size(); ++i) {
      if (packed[i]) {
        SEGUE_TRY(objects_.add(packed[i]->bytes));
        if (cache_.find(packed[i]->chunk.content) == nullptr) ++new_chunks_;
        cache_.add(packed[i]->chunk);
      }
      chunks_.push_back(packed[i] ? packed[i]->chunk : known[i]);
    }
    waiting_.clear();
    waiting_bytes_ = 0;
    return {};
  }

  [[nodiscard]] std::uint64_t new_chunks() const { return new_chunks_; }
  std::vector<Chunk> take() { return std::move(chunks_); }

 private:
  static constexpr std::size_t kBatchBytes = std::size_t{16} << 20;

  ObjectStore& objects_;
  ChunkCache& cache_;
  unsigned threads_;
  std::vector<Bytes> waiting_;
  std::size_t waiting_bytes_ = 0;
  std::vector<Chunk> chunks_;
  std::uint64_t new_chunks_ = 0;
};

Result<void> read_file(FileSource& files, const delta::Entry& entry, std::size_t index,
                       const FileSource::Piece& piece) {
  delta::Hasher hasher;
  std::uint64_t size_bytes = 0;
  SEGUE_TRY(files.read(index, [&](ByteView bytes) {
    hasher.add(bytes);
    size_bytes += bytes.size();
    return piece(bytes);
  }));
  if (size_bytes == entry.size_bytes && hasher.finish() == entry.content) return {};
  return fail(ErrorCode::aborted, "'{}' changed while it was published: publish again", entry.path);
}

}  // namespace

Result<std::vector<Chunk>> Publisher::store_chunks(const delta::Manifest& manifest,
                                                   FileSource& files, const WorkSink& progress,
                                                   PublishReport& report) {
  SEGUE_ASSIGN(const ContentStream stream, stream_of(manifest));
  ChunkWriter writer(objects_, chunk_cache_, settings_.threads);
  StreamCutter cutter([&](std::uint64_t, ByteView bytes) { return writer.add(bytes); });
  std::uint64_t done_bytes = 0;
  for (const Segment& segment : stream.segments) {
    SEGUE_TRY(read_file(files, manifest.entries[segment.entry], segment.entry, [&](ByteView bytes) {
      done_bytes += bytes.size();
      if (progress) progress({"storing", done_bytes, stream.size_bytes});
      return cutter.add(bytes);
    }));
  }
  SEGUE_TRY(cutter.finish());
  SEGUE_TRY(writer.write());
  report.new_chunks = writer.new_chunks();
  std::vector<Chunk> chunks = writer.take();
  report.chunks = chunks.size();
  return chunks;
}

}  // namespace segue::library
