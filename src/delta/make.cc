// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>

#include "delta/container.h"
#include "delta/elf_regions.h"
#include "delta/file_coder.h"
#include "delta/pairing.h"

namespace segue::delta {

namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

// Modelled literals are the smallest and cost about a microsecond each when they are read, so there
// are so many of them at most: a floor, and a share of what is written.
constexpr std::uint64_t kModelledFloorBytes = 64 * 1024;
constexpr std::uint64_t kModelledShare = 200;
// LZMA is read at tens of MiB/s: it may make up so much of what is written.
constexpr std::uint64_t kLzmaShare = 8;
// An index of the base costs time in proportion to the base, and helps only literals.
constexpr std::uint64_t kIndexedShare = 1024;

struct PlannedFile {
  std::uint32_t target_entry = 0;
  ContentSource source;
  FilePlan plan;
  std::uint64_t literal_bytes = 0;
};

struct OpenPair {
  std::unique_ptr<FileBytes> base_file;
  std::unique_ptr<FileBytes> target_file;
  ByteView base;
  ByteView target;
};

std::uint64_t literals_of(const std::vector<Operation>& operations) {
  return std::accumulate(
      operations.begin(), operations.end(), std::uint64_t{0},
      [](std::uint64_t sum, const Operation& operation) { return sum + operation.literal; });
}

class Maker {
 public:
  Maker(const Manifest& base, TreeReader& base_files, const Manifest& target,
        TreeReader& target_files)
      : base_(base), base_files_(base_files), target_(target), target_files_(target_files) {}

  Result<Bytes> run(MakeReport& report) {
    SEGUE_ASSIGN(sources_, pair_files(base_, base_files_, target_, target_files_));
    SEGUE_TRY(plan_files());
    const BulkCodec codec = share_literals_out();

    Bytes modelled;
    RangeEncoder encoder(modelled);
    SymbolCoder<RangeEncoder> symbols(encoder);
    Manifest target = target_;
    TreeCoder<RangeEncoder> tree(symbols, base_);
    SEGUE_TRY(tree.code(target, sources_));
    report.manifest_bytes = modelled.size();
    const int table_bits = table_bits_for(modelled_literals_);
    symbols.small(static_cast<std::uint32_t>(table_bits), 4, SymbolKind::table_bits);
    LiteralCoder<RangeEncoder> literals(encoder, table_bits);
    BulkWriter bulk(codec);
    Bytes framed;
    FileCoder<RangeEncoder> files(symbols, literals, {.writer = &bulk, .framed = &framed});
    for (PlannedFile& file : files_) {
      const std::size_t before = modelled.size();
      SEGUE_TRY(encode_file(file, files));
      report.files.push_back(report_of(file, modelled.size() - before));
    }
    encoder.finish();
    const Bytes bulk_section = bulk.finish();
    report.bulk_bytes = bulk_section.size();
    return pack({root_of(base_), root_of(target_)}, modelled, framed, bulk_section);
  }

 private:
  Result<std::unique_ptr<FileBytes>> open(const Manifest& manifest, TreeReader& files,
                                          std::size_t entry) {
    SEGUE_ASSIGN(auto file, files.open(entry));
    if (file->bytes().size() != manifest.entries[entry].size_bytes) {
      return fail(ErrorCode::failed_precondition, "'{}' has {} bytes, its manifest says {}",
                  manifest.entries[entry].path, file->bytes().size(),
                  manifest.entries[entry].size_bytes);
    }
    return file;
  }

  Result<OpenPair> open_pair(std::uint32_t target_entry, const ContentSource& source) {
    OpenPair pair;
    SEGUE_ASSIGN(pair.target_file, open(target_, target_files_, target_entry));
    pair.target = pair.target_file->bytes();
    if (source.kind == SourceKind::patched) {
      SEGUE_ASSIGN(pair.base_file, open(base_, base_files_, source.entry));
      pair.base = pair.base_file->bytes();
    }
    return pair;
  }

  Result<void> plan_files() {
    for (std::uint32_t i = 0; i < target_.entries.size(); ++i) {
      if (target_.entries[i].type != EntryType::regular) continue;
      ContentSource& source = sources_[i];
      if (source.kind != SourceKind::patched && source.kind != SourceKind::fresh) continue;
      SEGUE_ASSIGN(const OpenPair pair, open_pair(i, source));
      PlannedFile file{i, source, plan_of(pair.base, pair.target), 0};
      file.literal_bytes = literals_of(file.plan.operations);
      if (file.literal_bytes == pair.target.size()) {
        file.source = source = {SourceKind::fresh, 0};
        file.plan = plan_of({}, pair.target);
      }
      consider_frame(file, pair);
      output_bytes_ += pair.target.size();
      files_.push_back(std::move(file));
    }
    return {};
  }

  // Where much changed, matches that may be short cost less than operations do.
  void consider_frame(PlannedFile& file, const OpenPair& pair) {
    constexpr std::uint64_t kManyLiterals = 32 * 1024;
    constexpr std::uint64_t kOperationBytes = 4;  // what one costs, as seen
    if (file.source.kind != SourceKind::patched || !file.plan.regions.empty() ||
        file.literal_bytes < kManyLiterals || file.literal_bytes < pair.target.size() / 16 ||
        pair.base.size() + pair.target.size() > kMaxPrefixedBytes) {
      return;
    }
    BulkWriter literals(BulkCodec::lzma);
    std::uint64_t place = 0;
    for (const Operation& operation : file.plan.operations) {
      literals.write(pair.target.subspan(static_cast<std::size_t>(place + operation.copied),
                                         static_cast<std::size_t>(operation.literal)));
      place += operation.copied + operation.literal;
    }
    FramePrefix tried = frame_prefix_;
    Bytes frame = compress_with_prefix(tried.with(pair.base, pair.target.size()), pair.target);
    if (frame.size() >= literals.finish().size() + kOperationBytes * file.plan.operations.size()) {
      return;
    }
    file.plan = {};
    file.plan.is_framed = true;
    file.plan.frame = std::move(frame);
    frame_prefix_ = std::move(tried);
    frame_prefix_.remember(Bytes(pair.target.begin(), pair.target.end()));
    file.literal_bytes = 0;
  }

  static FilePlan plan_of(ByteView base, ByteView target) {
    FilePlan plan;
    if (target.empty()) return plan;
    if (base.empty()) {
      plan.operations.push_back({0, 0, target.size()});
      return plan;
    }
    ProgramPair programs = pair_elf_programs(base, target);
    if (base.size() > kMaxMatchBytes || target.size() > kMaxMatchBytes) {
      plan.operations = find_windowed_operations(base, target);
      return plan;
    }
    if (programs.regions.empty()) {
      plan.operations = find_operations(base, target, {});
      return plan;
    }
    const auto base_fields = find_fields(base, programs.regions);
    const auto target_fields = find_fields(target, programs.target_regions);
    plan.operations =
        find_operations(with_labels(base, programs.regions, base_fields),
                        with_labels(target, programs.target_regions, target_fields), {});
    plan.regions = std::move(programs.regions);
    return plan;
  }

  // Pieces of the target against the part of the base around where the piece before ended.
  static std::vector<Operation> find_windowed_operations(ByteView base, ByteView target) {
    constexpr std::size_t kPieceBytes = std::size_t{32} << 20;
    std::vector<Operation> operations;
    std::int64_t shift = 0;
    for (std::size_t at = 0; at < target.size(); at += kPieceBytes) {
      const ByteView piece = target.subspan(at, std::min(kPieceBytes, target.size() - at));
      const auto wanted = std::clamp<std::int64_t>(
          static_cast<std::int64_t>(at) + shift - static_cast<std::int64_t>(kPieceBytes), 0,
          static_cast<std::int64_t>(base.size()));
      const auto begin = static_cast<std::size_t>(wanted);
      const ByteView window = base.subspan(begin, std::min(kMaxMatchBytes, base.size() - begin));
      std::size_t place = at;
      for (Operation operation : find_operations(window, piece, {})) {
        operation.base_at += begin;
        operations.push_back(operation);
        if (operation.copied > 4096) {
          shift = static_cast<std::int64_t>(operation.base_at) - static_cast<std::int64_t>(place);
        }
        place += operation.copied + operation.literal;
      }
    }
    return operations;
  }

  // Files with few literals first: for them modelling gives most.
  BulkCodec share_literals_out() {
    std::vector<PlannedFile*> order;
    for (PlannedFile& file : files_) order.push_back(&file);
    std::stable_sort(order.begin(), order.end(), [](const PlannedFile* l, const PlannedFile* r) {
      return l->literal_bytes < r->literal_bytes;
    });
    const std::uint64_t budget = std::max(kModelledFloorBytes, output_bytes_ / kModelledShare);
    std::uint64_t bulk = 0;
    for (PlannedFile* file : order) {
      if (modelled_literals_ + file->literal_bytes <= budget) {
        modelled_literals_ += file->literal_bytes;
        const std::uint64_t base_bytes = file->source.kind == SourceKind::patched
                                             ? base_.entries[file->source.entry].size_bytes
                                             : 0;
        file->plan.base_is_indexed =
            base_bytes > 0 && file->literal_bytes * kIndexedShare >= base_bytes;
      } else {
        file->plan.literals_in_bulk = true;
        bulk += file->literal_bytes;
      }
    }
    return bulk <= output_bytes_ / kLzmaShare ? BulkCodec::lzma : BulkCodec::zstd;
  }

  static int table_bits_for(std::uint64_t literal_bytes) {
    using Literals = LiteralCoder<RangeEncoder>;
    return std::clamp(static_cast<int>(std::bit_width(literal_bytes)) + 1, Literals::kMinTableBits,
                      Literals::kMaxTableBits);
  }

  Result<void> encode_file(PlannedFile& file, FileCoder<RangeEncoder>& files) {
    SEGUE_ASSIGN(const OpenPair pair, open_pair(file.target_entry, file.source));
    return files.code(pair.base, pair.target.size(), pair.target, file.plan,
                      [](ByteView) { return Result<void>(); });
  }

  static FileReport report_of(const PlannedFile& file, std::size_t coded_bytes) {
    FileReport report;
    report.target_entry = file.target_entry;
    if (file.source.kind == SourceKind::patched) report.base_entry = file.source.entry;
    report.method = file.source.kind == SourceKind::patched ? FileReport::Method::patch
                                                            : FileReport::Method::fresh;
    report.operations = file.plan.operations.size();
    report.literal_bytes = file.literal_bytes;
    report.coded_bytes = coded_bytes + file.plan.frame.size();
    report.in_bulk = file.plan.literals_in_bulk;
    return report;
  }

  const Manifest& base_;
  TreeReader& base_files_;
  const Manifest& target_;
  TreeReader& target_files_;
  std::vector<ContentSource> sources_;
  std::vector<PlannedFile> files_;
  FramePrefix frame_prefix_;
  std::uint64_t output_bytes_ = 0;
  std::uint64_t modelled_literals_ = 0;
};

}  // namespace

Result<Bytes> make_delta(const Manifest& base, TreeReader& base_files, const Manifest& target,
                         TreeReader& target_files, MakeReport* report) {
  MakeReport ignored;
  return Maker(base, base_files, target, target_files).run(report == nullptr ? ignored : *report);
}

}  // namespace segue::delta
