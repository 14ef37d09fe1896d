// SPDX-License-Identifier: Apache-2.0
#include "library/chunk_cache.h"

#include <fmt/format.h>

#include <algorithm>

#include "library/object_store.h"
#include "os/files.h"

namespace segue::library {
namespace {

using base::ErrorCode;
using base::Result;
using delta::Bytes;
using delta::ByteView;
using delta::Digest;

// Digests of content and of what is stored, both sizes, and 8 bytes of the digest of all that.
constexpr std::size_t kSizesAt = 2 * Digest::kBytes;
constexpr std::size_t kCheckAt = kSizesAt + 8;
constexpr std::size_t kCheckBytes = 8;
constexpr std::size_t kRecordBytes = kCheckAt + kCheckBytes;
constexpr std::size_t kMaxFileBytes = std::size_t{1} << 30;

void append_record(Bytes& out, const Chunk& chunk) {
  Bytes record(kCheckAt);
  std::ranges::copy(chunk.content.bytes, record.begin());
  std::ranges::copy(chunk.stored.bytes, record.begin() + Digest::kBytes);
  delta::store_u32(&record[kSizesAt], chunk.size_bytes);
  delta::store_u32(&record[kSizesAt + 4], chunk.stored_bytes);
  const Digest check = delta::digest_of(record);
  record.insert(record.end(), check.bytes.begin(), check.bytes.begin() + kCheckBytes);
  out.insert(out.end(), record.begin(), record.end());
}

std::optional<Chunk> parse_record(ByteView record) {
  const Digest check = delta::digest_of(record.first(kCheckAt));
  if (!std::equal(check.bytes.begin(), check.bytes.begin() + kCheckBytes,
                  record.begin() + kCheckAt)) {
    return std::nullopt;
  }
  Chunk chunk;
  std::copy_n(record.begin(), Digest::kBytes, chunk.content.bytes.begin());
  std::copy_n(record.begin() + Digest::kBytes, Digest::kBytes, chunk.stored.bytes.begin());
  chunk.size_bytes = delta::load_u32(&record[kSizesAt]);
  chunk.stored_bytes = delta::load_u32(&record[kSizesAt + 4]);
  return chunk;
}

}  // namespace

ChunkCache::ChunkCache(const Disk& disk) : disk_(disk) {}

std::string ChunkCache::path() const {
  return fmt::format("{}/{}/chunks", disk_.directory(), kCacheFolder);
}

Result<void> ChunkCache::load() {
  chunks_.clear();
  unsaved_.clear();
  const auto text = os::read_file(path(), kMaxFileBytes);
  damaged_ = !text && text.error().code() != ErrorCode::not_found;
  if (!text) return {};
  ByteView left = delta::view_of(*text);
  for (; left.size() >= kRecordBytes; left = left.subspan(kRecordBytes)) {
    if (const auto chunk = parse_record(left.first(kRecordBytes))) {
      chunks_.emplace(chunk->content, *chunk);
    } else {
      damaged_ = true;
    }
  }
  damaged_ = damaged_ || !left.empty();
  return {};
}

const Chunk* ChunkCache::find(const Digest& content) const {
  const auto found = chunks_.find(content);
  return found == chunks_.end() ? nullptr : &found->second;
}

void ChunkCache::add(const Chunk& chunk) {
  chunks_.insert_or_assign(chunk.content, chunk);
  unsaved_.push_back(chunk);
}

Result<void> ChunkCache::save() {
  if (damaged_) return rewrite();
  if (unsaved_.empty()) return {};
  Bytes records;
  for (const Chunk& chunk : unsaved_) append_record(records, chunk);
  SEGUE_TRY(disk_.make_directory(fmt::format("{}/{}", disk_.directory(), kCacheFolder)));
  SEGUE_TRY(disk_.append(path(), records));
  unsaved_.clear();
  return {};
}

Result<void> ChunkCache::keep_only(const std::function<bool(const Chunk&)>& stays) {
  const auto gone = std::erase_if(chunks_, [&](const auto& each) { return !stays(each.second); });
  if (gone == 0 && !damaged_) return {};
  return rewrite();
}

Result<void> ChunkCache::rewrite() {
  Bytes records;
  for (const auto& [content, chunk] : chunks_) append_record(records, chunk);
  const std::string fresh = fmt::format("{}/{}/chunks", disk_.directory(), kIncomingFolder);
  SEGUE_TRY(disk_.make_directory(fmt::format("{}/{}", disk_.directory(), kCacheFolder)));
  SEGUE_TRY(disk_.write(fresh, records));
  SEGUE_TRY(disk_.rename(fresh, path()));
  unsaved_.clear();
  damaged_ = false;
  return {};
}

}  // namespace segue::library
