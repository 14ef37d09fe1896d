// SPDX-License-Identifier: Apache-2.0
#include "staging/rebuild.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "os/files.h"
#include "tree/builder.h"

namespace segue::staging {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using delta::ByteView;
using delta::Entry;
using delta::EntryType;

constexpr std::uint64_t kMemoryBytes = std::uint64_t{768} << 20;
constexpr std::uint64_t kMemoryPerFile = 4096;  // of both manifests, generously
constexpr std::uint64_t kCpuSeconds = 120;
constexpr std::uint64_t kBytesPerCpuSecond = std::uint64_t{1} << 20;
constexpr std::uint64_t kSlackBytes = std::uint64_t{1} << 20;

SandboxRules rules_for(std::uint64_t bytes, std::uint64_t entries, const NewTree& tree) {
  const std::string parent = tree.directory.substr(0, tree.directory.rfind('/'));
  return {.readable = {},
          .writable = {parent},
          .max_file_bytes =
              std::max({bytes, kMemoryPerFile * entries, std::uint64_t{1} << 20}) + kSlackBytes,
          .max_memory_bytes = kMemoryBytes + kMemoryPerFile * entries,
          .max_cpu_s = kCpuSeconds + bytes / kBytesPerCpuSecond};
}

// Counts what is written on its way.
class CountingWriter final : public delta::TreeWriter {
 public:
  CountingWriter(delta::TreeWriter& writer, const MadeBytes& made) : writer_(writer), made_(made) {}
  Result<void> begin(const delta::Manifest& target) override {
    return noted(writer_.begin(target));
  }
  Result<void> reuse(std::size_t target, std::size_t base) override {
    return noted(writer_.reuse(target, base));
  }
  Result<void> repeat(std::size_t target, std::size_t earlier) override {
    return noted(writer_.repeat(target, earlier));
  }
  Result<void> begin_file(std::size_t target) override { return noted(writer_.begin_file(target)); }
  Result<void> write(ByteView bytes) override {
    made_(bytes.size());
    return noted(writer_.write(bytes));
  }
  Result<void> end_file(std::size_t target, const delta::Digest& content) override {
    return noted(writer_.end_file(target, content));
  }

  // An error that came from the disk, and not from what was to be written.
  [[nodiscard]] bool has_failed() const { return has_failed_; }

 private:
  Result<void> noted(Result<void> result) {
    if (!result) has_failed_ = true;
    return result;
  }

  bool has_failed_ = false;
  delta::TreeWriter& writer_;
  const MadeBytes& made_;
};

class MappedObject {
 public:
  static Result<MappedObject> open(const std::string& path) {
    const os::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat status{};
    if (!fd || ::fstat(fd.get(), &status) != 0)
      return fail(base::errno_error("open " + path, errno));
    const auto size = static_cast<std::size_t>(status.st_size);
    if (size == 0) return fail(ErrorCode::data_loss, "{} is empty", path);
    void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
    if (address == MAP_FAILED) return fail(base::errno_error("map " + path, errno));
    return MappedObject(address, size);
  }
  MappedObject(MappedObject&& other) noexcept
      : address_(std::exchange(other.address_, nullptr)), size_(other.size_) {}
  MappedObject(const MappedObject&) = delete;
  MappedObject& operator=(const MappedObject&) = delete;
  MappedObject& operator=(MappedObject&&) = delete;
  ~MappedObject() {
    if (address_ != nullptr) ::munmap(address_, size_);
  }
  [[nodiscard]] ByteView bytes() const {
    return {static_cast<const std::uint8_t*>(address_), size_};
  }

 private:
  MappedObject(void* address, std::size_t size) : address_(address), size_(size) {}
  void* address_;
  std::size_t size_;
};

Result<void> write_file(const std::string& path, ByteView bytes) {
  const os::UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) return fail(base::errno_error("open " + path, errno));
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail(base::errno_error("write " + path, errno));
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

// Any part of the stream of a tree on disk.
class StreamReader {
 public:
  StreamReader(tree::DiskTree& files, const library::ContentStream& stream)
      : files_(files), stream_(stream) {}

  Result<delta::Bytes> read(std::uint64_t offset, std::size_t size) {
    delta::Bytes bytes;
    bytes.reserve(size);
    auto segment =
        std::ranges::upper_bound(stream_.segments, offset, {}, &library::Segment::offset_bytes);
    if (segment != stream_.segments.begin()) --segment;
    for (; bytes.size() < size && segment != stream_.segments.end(); ++segment) {
      if (open_ == nullptr || entry_ != segment->entry) {
        SEGUE_ASSIGN(open_, files_.open(segment->entry));
        entry_ = segment->entry;
      }
      const std::uint64_t begin = offset + bytes.size() - segment->offset_bytes;
      const std::uint64_t taken =
          std::min<std::uint64_t>(segment->size_bytes - begin, size - bytes.size());
      const ByteView part =
          open_->bytes().subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(taken));
      bytes.insert(bytes.end(), part.begin(), part.end());
    }
    if (bytes.size() == size) return bytes;
    return fail(ErrorCode::data_loss, "the tree on this host is shorter than it was");
  }

 private:
  tree::DiskTree& files_;
  const library::ContentStream& stream_;
  std::unique_ptr<delta::FileBytes> open_;
  std::uint32_t entry_ = 0;
};

// Puts wanted files together from chunks. Runs in the sandbox.
class Assembler {
 public:
  Assembler(const library::Contents& contents, const ChunkPlan& plan, std::string chunk_directory,
            StreamReader* base, delta::TreeWriter& writer)
      : contents_(contents),
        plan_(plan),
        chunk_directory_(std::move(chunk_directory)),
        base_(base),
        writer_(writer) {}

  Result<void> run() {
    const auto& entries = contents_.manifest.entries;
    SEGUE_TRY(writer_.begin(contents_.manifest));
    for (std::size_t i = 0; i < entries.size(); ++i) {
      if (entries[i].type == EntryType::regular && entries[i].size_bytes == 0) {
        SEGUE_TRY(writer_.begin_file(i));
        SEGUE_TRY(writer_.end_file(i, entries[i].content));
      }
    }
    for (std::size_t i = 0; i < plan_.stream.segments.size(); ++i) {
      if (plan_.is_segment_wanted[i]) SEGUE_TRY(write(plan_.stream.segments[i]));
    }
    return {};
  }

 private:
  Result<void> write(const library::Segment& segment) {
    const Entry& entry = contents_.manifest.entries[segment.entry];
    SEGUE_TRY(writer_.begin_file(segment.entry));
    const std::uint64_t end = segment.offset_bytes + segment.size_bytes;
    for (std::uint64_t at = segment.offset_bytes; at < end;) {
      SEGUE_TRY(load_chunk_at(at));
      const std::uint64_t begin = at - chunk_begin_;
      const std::uint64_t taken = std::min(end, chunk_begin_ + chunk_.size()) - at;
      const ByteView part = ByteView(chunk_).subspan(static_cast<std::size_t>(begin),
                                                     static_cast<std::size_t>(taken));
      hasher_.add(part);
      SEGUE_TRY(writer_.write(part));
      at += taken;
    }
    const delta::Digest content = hasher_.finish();
    if (content == entry.content) return writer_.end_file(segment.entry, content);
    return fail(ErrorCode::data_loss, "the chunks of {} do not make it up",
                tree::shown(entry.path));
  }

  // Segments come in order, so chunks do.
  Result<void> load_chunk_at(std::uint64_t offset) {
    if (!chunk_.empty() && offset < chunk_begin_ + chunk_.size()) return {};
    while (offset >= next_begin_ + contents_.chunks.at(next_).size_bytes) {
      next_begin_ += contents_.chunks[next_].size_bytes;
      ++next_;
    }
    const library::Chunk& chunk = contents_.chunks[next_];
    chunk_begin_ = next_begin_;
    if (const auto found = plan_.in_base.find(chunk.content); found != plan_.in_base.end()) {
      SEGUE_ASSIGN(chunk_, base_->read(found->second, chunk.size_bytes));
      if (delta::digest_of(chunk_) == chunk.content) return {};
      return fail(ErrorCode::data_loss, "the tree on this host changed while it was read");
    }
    const std::string path = chunk_directory_ + "/" + chunk.stored.hex();
    SEGUE_ASSIGN(const MappedObject object, MappedObject::open(path));
    SEGUE_ASSIGN(chunk_, library::unpack_chunk(object.bytes(), chunk));
    return {};
  }

  const library::Contents& contents_;
  const ChunkPlan& plan_;
  const std::string chunk_directory_;
  StreamReader* base_;
  delta::TreeWriter& writer_;
  delta::Hasher hasher_;
  delta::Bytes chunk_;
  std::uint64_t chunk_begin_ = 0;
  std::size_t next_ = 0;
  std::uint64_t next_begin_ = 0;
};

void mark_wanted_chunks(const library::Contents& contents, ChunkPlan& plan) {
  std::size_t chunk = 0;
  std::uint64_t begin = 0;  // of that chunk
  for (std::size_t i = 0; i < plan.stream.segments.size(); ++i) {
    if (!plan.is_segment_wanted[i]) continue;
    const library::Segment& segment = plan.stream.segments[i];
    while (begin + contents.chunks[chunk].size_bytes <= segment.offset_bytes) {
      begin += contents.chunks[chunk++].size_bytes;
    }
    // The last one of a segment may be the first of the next.
    std::uint64_t at = begin;
    for (std::size_t each = chunk; at < segment.offset_bytes + segment.size_bytes; ++each) {
      plan.is_chunk_wanted[each] = true;
      at += contents.chunks[each].size_bytes;
    }
  }
}

Result<void> look_for_chunks_in(const Base& base, const library::Contents& contents,
                                ChunkPlan& plan) {
  std::map<delta::Digest, std::uint32_t> wanted;
  for (std::size_t i = 0; i < contents.chunks.size(); ++i) {
    const library::Chunk& chunk = contents.chunks[i];
    if (plan.is_chunk_wanted[i]) wanted.emplace(chunk.content, chunk.size_bytes);
  }
  if (wanted.empty()) return {};
  SEGUE_ASSIGN(const library::ContentStream stream, library::stream_of(base.manifest));
  SEGUE_ASSIGN(tree::DiskTree files, tree::DiskTree::open(base.directory, base.manifest));
  return library::cut_chunks(stream, base.manifest, files,
                             [&](std::uint64_t offset, ByteView bytes) -> Result<void> {
                               const delta::Digest content = delta::digest_of(bytes);
                               const auto found = wanted.find(content);
                               if (found != wanted.end() && found->second == bytes.size()) {
                                 plan.in_base.emplace(content, offset);
                               }
                               return {};
                             });
}

}  // namespace

Result<delta::Manifest> rebuild_from_delta(const std::string& delta_file, const Base& base,
                                           const library::Release& release, const NewTree& tree,
                                           const MadeBytes& on_made) {
  SandboxRules rules = rules_for(release.bytes, release.files + base.manifest.entries.size(), tree);
  rules.readable = {base.directory, delta_file};
  SEGUE_TRY(run_sandboxed(
      rules,
      [&](const MadeBytes& made) -> Result<void> {
        SEGUE_ASSIGN(const MappedObject object, MappedObject::open(delta_file));
        SEGUE_ASSIGN(tree::DiskTree files, tree::DiskTree::open(base.directory, base.manifest));
        SEGUE_ASSIGN(const auto builder,
                     tree::TreeBuilder::create(tree.directory, {.only_new_bytes = true}));
        CountingWriter writer(*builder, made);
        auto manifest = delta::apply_delta(object.bytes(), base.manifest, files, release.root,
                                           {.max_target_bytes = release.bytes}, writer);
        if (manifest) return write_file(tree.manifest_file, delta::encode(*manifest));
        // A bound that the delta would exceed, unlike a disk that is full: chunks need neither.
        const auto& error = manifest.error();
        if (error.code() == ErrorCode::resource_exhausted && !writer.has_failed()) {
          return fail(ErrorCode::data_loss, "{}", error.message());
        }
        return fail(std::move(manifest).error());
      },
      on_made));
  SEGUE_ASSIGN(const std::string bytes,
               os::read_file(tree.manifest_file, delta::kMaxManifestBytes));
  if (delta::digest_of(delta::view_of(bytes)) != release.root) {
    return fail(ErrorCode::data_loss, "the delta made another tree than {}", release.root.hex());
  }
  return delta::decode_manifest(delta::view_of(bytes));
}

Result<void> begin_copy(const delta::Manifest& manifest, const NewTree& tree) {
  SEGUE_ASSIGN(const auto builder,
               tree::TreeBuilder::create(tree.directory, {.only_new_bytes = true}));
  return builder->begin(manifest);
}

Result<ChunkPlan> plan_chunks(const library::Contents& contents, const Base* base) {
  ChunkPlan plan;
  SEGUE_ASSIGN(plan.stream, library::stream_of(contents.manifest));
  std::uint64_t chunk_bytes = 0;
  for (const library::Chunk& chunk : contents.chunks) chunk_bytes += chunk.size_bytes;
  if (chunk_bytes != plan.stream.size_bytes) {
    return fail(ErrorCode::data_loss, "the chunks hold {} bytes, and the files {}", chunk_bytes,
                plan.stream.size_bytes);
  }
  std::vector<delta::Digest> present;
  if (base != nullptr) {
    for (const Entry& entry : base->manifest.entries) {
      if (entry.type == EntryType::regular) present.push_back(entry.content);
    }
    std::ranges::sort(present);
  }
  plan.is_chunk_wanted.resize(contents.chunks.size());
  for (const library::Segment& segment : plan.stream.segments) {
    const delta::Digest& content = contents.manifest.entries[segment.entry].content;
    plan.is_segment_wanted.push_back(!std::ranges::binary_search(present, content));
  }
  mark_wanted_chunks(contents, plan);
  if (base != nullptr) SEGUE_TRY(look_for_chunks_in(*base, contents, plan));
  std::map<delta::Digest, bool> seen;
  for (std::size_t i = 0; i < contents.chunks.size(); ++i) {
    const library::Chunk& chunk = contents.chunks[i];
    if (!plan.is_chunk_wanted[i] || plan.in_base.contains(chunk.content)) continue;
    if (!seen.emplace(chunk.stored, true).second) continue;
    plan.to_fetch.push_back(i);
    plan.fetch_bytes += chunk.stored_bytes;
  }
  return plan;
}

Result<void> rebuild_from_chunks(const library::Contents& contents, const ChunkPlan& plan,
                                 const std::string& chunk_directory, const Base* base,
                                 const NewTree& tree, const MadeBytes& on_made) {
  const std::uint64_t entries =
      contents.manifest.entries.size() + (base != nullptr ? base->manifest.entries.size() : 0);
  SandboxRules rules = rules_for(plan.stream.size_bytes, entries, tree);
  rules.readable = {chunk_directory};
  if (base != nullptr) rules.readable.push_back(base->directory);
  return run_sandboxed(
      rules,
      [&](const MadeBytes& made) -> Result<void> {
        SEGUE_ASSIGN(const auto builder,
                     tree::TreeBuilder::create(tree.directory, {.only_new_bytes = true}));
        CountingWriter writer(*builder, made);
        if (base == nullptr) {
          return Assembler(contents, plan, chunk_directory, nullptr, writer).run();
        }
        SEGUE_ASSIGN(tree::DiskTree files, tree::DiskTree::open(base->directory, base->manifest));
        SEGUE_ASSIGN(const library::ContentStream stream, library::stream_of(base->manifest));
        StreamReader reader(files, stream);
        return Assembler(contents, plan, chunk_directory, &reader, writer).run();
      },
      on_made);
}

}  // namespace segue::staging
