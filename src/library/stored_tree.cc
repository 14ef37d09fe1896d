// SPDX-License-Identifier: Apache-2.0
#include "library/stored_tree.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#include "base/assert.h"
#include "library/scratch_file.h"

namespace segue::library {
namespace {

using base::errno_error;
using base::ErrorCode;
using base::fail;
using base::Result;
using delta::Bytes;
using delta::ByteView;

class MappedBytes final : public delta::FileBytes {
 public:
  explicit MappedBytes(ByteView bytes) : bytes_(bytes) {}
  [[nodiscard]] ByteView bytes() const override { return bytes_; }

 private:
  ByteView bytes_;
};

}  // namespace

StoredTree::~StoredTree() {
  if (bytes_ != nullptr) ::munmap(const_cast<std::uint8_t*>(bytes_), stream_.size_bytes);
}

Result<std::unique_ptr<StoredTree>> StoredTree::open(const ObjectStore& store,
                                                     const Contents& contents,
                                                     const std::string& folder,
                                                     const Progress& progress) {
  std::unique_ptr<StoredTree> tree(new StoredTree(contents.manifest));
  SEGUE_ASSIGN(tree->stream_, stream_of(contents.manifest));
  for (const Segment& segment : tree->stream_.segments) {
    tree->offsets_.emplace(contents.manifest.entries[segment.entry].content, segment.offset_bytes);
  }
  if (tree->stream_.size_bytes == 0) return tree;
  SEGUE_TRY(tree->fill(store, contents, folder, progress));
  SEGUE_TRY(tree->check_files());
  return tree;
}

Result<void> StoredTree::fill(const ObjectStore& store, const Contents& contents,
                              const std::string& folder, const Progress& progress) {
  SEGUE_ASSIGN(const os::UniqueFd fd, unnamed_file(folder));
  std::uint64_t written = 0;
  for (const Chunk& chunk : contents.chunks) {
    SEGUE_ASSIGN(const Bytes stored, store.read(chunk.object()));
    SEGUE_ASSIGN(const Bytes bytes, unpack_chunk(stored, chunk));
    SEGUE_TRY(append_to(fd.get(), bytes, folder));
    written += bytes.size();
    if (progress) progress(bytes.size());
  }
  SEGUE_ASSERT(written == stream_.size_bytes);  // decode_contents() has seen to it
  void* mapped = ::mmap(nullptr, stream_.size_bytes, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (mapped == MAP_FAILED) {
    return fail(errno_error(fmt::format("map a tree of {} bytes", stream_.size_bytes), errno));
  }
  bytes_ = static_cast<const std::uint8_t*>(mapped);
  return {};
}

Result<void> StoredTree::check_files() const {
  for (const Segment& segment : stream_.segments) {
    const delta::Entry& entry = manifest_.entries[segment.entry];
    const ByteView bytes(bytes_ + segment.offset_bytes, segment.size_bytes);
    if (delta::digest_of(bytes) == entry.content) continue;
    return fail(ErrorCode::data_loss, "the chunks of '{}' hold other bytes than its manifest says",
                entry.path);
  }
  return {};
}

Result<std::unique_ptr<delta::FileBytes>> StoredTree::open(std::size_t entry) {
  SEGUE_ASSERT(entry < manifest_.entries.size());
  const delta::Entry& file = manifest_.entries[entry];
  if (file.size_bytes == 0) return std::make_unique<MappedBytes>(ByteView());
  const auto offset = offsets_.find(file.content);
  SEGUE_ASSERT(offset != offsets_.end());
  return std::make_unique<MappedBytes>(ByteView(bytes_ + offset->second, file.size_bytes));
}

}  // namespace segue::library
