// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "delta/archive_coder.h"
#include "delta/container.h"
#include "delta/file_coder.h"
#include "delta/tree_coder.h"

namespace segue::delta {

namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

class Applier {
 public:
  Applier(const Container& container, BulkReader bulk, const Manifest& base, TreeReader& base_files,
          TreeWriter& writer)
      : may_have_archives_(container.version >= kArchiveVersion),
        modelled_(container.modelled),
        frames_(container.frames),
        bulk_(std::move(bulk)),
        decoder_([this] { return std::exchange(modelled_, ByteView()); }),
        symbols_(decoder_),
        base_(base),
        base_files_(base_files),
        writer_(writer) {}

  Result<Manifest> run(const ApplyLimits& limits) {
    TreeCoder<RangeDecoder> tree(symbols_, base_);
    SEGUE_TRY(tree.code(target_, sources_));
    if (const auto checked = check(target_); !checked) {
      return fail(ErrorCode::data_loss, "the delta's manifest: {}", checked.error().message());
    }
    SEGUE_TRY(check_sizes(limits));
    const auto table_bits = static_cast<int>(symbols_.small(0, 4, SymbolKind::table_bits));
    using Literals = LiteralCoder<RangeDecoder>;
    if (table_bits < Literals::kMinTableBits || table_bits > Literals::kMaxTableBits) {
      return fail(ErrorCode::data_loss, "the delta asks for tables of 2^{} blocks", table_bits);
    }
    Literals literals(decoder_, table_bits);
    FileCoder<RangeDecoder> files(symbols_, literals, {.reader = &bulk_, .frames = frames_});
    ArchiveCoder<RangeDecoder> archives(symbols_, files);
    SEGUE_TRY(writer_.begin(target_));
    for (std::size_t i = 0; i < target_.entries.size(); ++i) {
      if (target_.entries[i].type == EntryType::regular) {
        SEGUE_TRY(write_entry(i, files, archives));
      }
    }
    SEGUE_TRY(bulk_.finish());
    if (!decoder_.ok() || !decoder_.at_end() || !files.used_all_frames()) {
      return fail(ErrorCode::data_loss, "the delta is cut off, or goes on behind its end");
    }
    return std::move(target_);
  }

 private:
  [[nodiscard]] Result<void> check_sizes(const ApplyLimits& limits) const {
    std::uint64_t left = limits.max_target_bytes;
    for (const Entry& entry : target_.entries) {
      if (entry.size_bytes > left) {
        return fail(ErrorCode::resource_exhausted,
                    "the delta makes more than the {} bytes that were announced",
                    limits.max_target_bytes);
      }
      left -= entry.size_bytes;
    }
    return {};
  }

  Result<void> write_entry(std::size_t index, FileCoder<RangeDecoder>& files,
                           ArchiveCoder<RangeDecoder>& archives) {
    Entry& entry = target_.entries[index];
    const ContentSource source = sources_[index];
    switch (source.kind) {
      case SourceKind::base_content:
        return writer_.reuse(index, source.entry);
      case SourceKind::target_content:
        entry.content = target_.entries[source.entry].content;
        return writer_.repeat(index, source.entry);
      case SourceKind::patched:
      case SourceKind::fresh:
        break;
    }
    std::unique_ptr<FileBytes> file;
    ByteView base;
    if (source.kind == SourceKind::patched) {
      SEGUE_ASSIGN(file, base_files_.open(source.entry));
      base = file->bytes();
      const Entry& old = base_.entries[source.entry];
      if (base.size() != old.size_bytes) {
        return fail(ErrorCode::data_loss, "the base's file '{}' has {} bytes instead of {}",
                    old.path, base.size(), old.size_bytes);
      }
    }
    SEGUE_TRY(writer_.begin_file(index));
    const auto emit = [&](ByteView piece) {
      hasher_.add(piece);
      return writer_.write(piece);
    };
    if (may_have_archives_ && symbols_.flag(false, SymbolKind::archive_number, kIsArchive)) {
      ArchivePlan plan;
      SEGUE_TRY(archives.code(base, entry.size_bytes, {}, plan, emit));
    } else {
      FilePlan plan;
      SEGUE_TRY(files.code(base, entry.size_bytes, {}, plan, emit));
    }
    entry.content = hasher_.finish();
    return writer_.end_file(index, entry.content);
  }

  bool may_have_archives_;
  ByteView modelled_;
  ByteView frames_;
  BulkReader bulk_;
  RangeDecoder decoder_;
  SymbolCoder<RangeDecoder> symbols_;
  const Manifest& base_;
  TreeReader& base_files_;
  TreeWriter& writer_;
  Hasher hasher_;
  Manifest target_;
  std::vector<ContentSource> sources_;
};

}  // namespace

Result<Manifest> apply_delta(ByteView delta, const Manifest& base, TreeReader& base_files,
                             const Digest& target_root, const ApplyLimits& limits,
                             TreeWriter& writer) {
  SEGUE_ASSIGN(const Container container, unpack(delta));
  if (container.header.target_root != target_root) {
    return fail(ErrorCode::failed_precondition, "the delta makes {}, not {}",
                container.header.target_root.hex(), target_root.hex());
  }
  if (const Digest root = root_of(base); container.header.base_root != root) {
    return fail(ErrorCode::failed_precondition, "the delta is for base {}, not for {}",
                container.header.base_root.hex(), root.hex());
  }
  SEGUE_ASSIGN(BulkReader bulk, BulkReader::open(container.bulk));
  Applier applier(container, std::move(bulk), base, base_files, writer);
  SEGUE_ASSIGN(Manifest target, applier.run(limits));
  if (root_of(target) != target_root) {
    return fail(
        ErrorCode::data_loss,
        "what came out is not {}: a file of the base differs from its manifest, or the delta "
        "is damaged; verify the base, or fetch chunks instead",
        target_root.hex());
  }
  return target;
}

}  // namespace segue::delta
