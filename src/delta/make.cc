// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "delta/archive_coder.h"
#include "delta/archive_plan.h"
#include "delta/container.h"
#include "delta/file_coder.h"
#include "delta/file_plan.h"
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
// A file that costs less is not looked into for members.
constexpr std::uint64_t kMinArchiveLiterals = 512;
// An index of the base costs time in proportion to the base, and helps only literals.
constexpr std::uint64_t kIndexedShare = 1024;

struct PlannedFile {
  std::uint32_t target_entry = 0;
  ContentSource source;
  FilePlan plan;
  std::optional<ArchivePlan> archive;  // instead of the plan

  // Of the file, or of its parts.
  std::vector<FilePlan*> plans() {
    if (!archive) return {&plan};
    std::vector<FilePlan*> all;
    for (ArchivePart& part : archive->parts) {
      all.push_back(&part.raw);
      if (part.member) all.push_back(&part.member->contents);
    }
    return all;
  }
};

struct OpenPair {
  std::unique_ptr<FileBytes> base_file;
  std::unique_ptr<FileBytes> target_file;
  ByteView base;
  ByteView target;
};

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
    ArchiveCoder<RangeEncoder> archives(symbols, files);
    for (PlannedFile& file : files_) {
      const std::size_t before = modelled.size();
      SEGUE_TRY(encode_file(file, symbols, files, archives));
      report.files.push_back(report_of(file, modelled.size() - before));
    }
    encoder.finish();
    const Bytes bulk_section = bulk.finish();
    report.bulk_bytes = bulk_section.size();
    return pack({root_of(base_), root_of(target_)}, has_archives_ ? kArchiveVersion : kPlainVersion,
                modelled, framed, bulk_section);
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
      PlannedFile file{i, source, plan_file(pair.base, pair.target, false), std::nullopt};
      const bool may_be_archive = !pair.base.empty() && file.plan.regions.empty() &&
                                  file.plan.literal_bytes >= kMinArchiveLiterals;
      if (may_be_archive) file.archive = plan_archive(pair.base, pair.target, framer_);
      if (file.archive) {
        has_archives_ = true;
      } else {
        if (file.plan.literal_bytes == pair.target.size()) {
          file.source = source = {SourceKind::fresh, 0};
          file.plan = plan_file({}, pair.target, false);
        } else {
          framer_.consider(file.plan, pair.base, pair.target);
        }
      }
      output_bytes_ += pair.target.size();
      files_.push_back(std::move(file));
    }
    return {};
  }

  // Files with few literals first: for them modelling gives most.
  BulkCodec share_literals_out() {
    std::vector<FilePlan*> order;
    for (PlannedFile& file : files_) {
      for (FilePlan* plan : file.plans()) order.push_back(plan);
    }
    std::stable_sort(order.begin(), order.end(), [](const FilePlan* l, const FilePlan* r) {
      return l->literal_bytes < r->literal_bytes;
    });
    const std::uint64_t budget = std::max(kModelledFloorBytes, output_bytes_ / kModelledShare);
    std::uint64_t bulk = 0;
    for (FilePlan* plan : order) {
      if (modelled_literals_ + plan->literal_bytes <= budget) {
        modelled_literals_ += plan->literal_bytes;
        plan->base_is_indexed =
            plan->base_bytes > 0 && plan->literal_bytes * kIndexedShare >= plan->base_bytes;
      } else {
        plan->literals_in_bulk = true;
        bulk += plan->literal_bytes;
      }
    }
    return bulk <= output_bytes_ / kLzmaShare ? BulkCodec::lzma : BulkCodec::zstd;
  }

  static int table_bits_for(std::uint64_t literal_bytes) {
    using Literals = LiteralCoder<RangeEncoder>;
    return std::clamp(static_cast<int>(std::bit_width(literal_bytes)) + 1, Literals::kMinTableBits,
                      Literals::kMaxTableBits);
  }

  Result<void> encode_file(PlannedFile& file, SymbolCoder<RangeEncoder>& symbols,
                           FileCoder<RangeEncoder>& files, ArchiveCoder<RangeEncoder>& archives) {
    SEGUE_ASSIGN(const OpenPair pair, open_pair(file.target_entry, file.source));
    const auto ignore = [](ByteView) { return Result<void>(); };
    if (has_archives_) {
      symbols.flag(file.archive.has_value(), SymbolKind::archive_number, kIsArchive);
    }
    if (file.archive) {
      return archives.code(pair.base, pair.target.size(), pair.target, *file.archive, ignore);
    }
    return files.code(pair.base, pair.target.size(), pair.target, file.plan, ignore);
  }

  static FileReport report_of(PlannedFile& file, std::size_t coded_bytes) {
    FileReport report;
    report.target_entry = file.target_entry;
    if (file.source.kind == SourceKind::patched) report.base_entry = file.source.entry;
    report.method = file.source.kind == SourceKind::patched ? FileReport::Method::patch
                                                            : FileReport::Method::fresh;
    report.coded_bytes = coded_bytes;
    for (const FilePlan* plan : file.plans()) {
      report.operations += plan->operations.size();
      report.literal_bytes += plan->literal_bytes;
      report.coded_bytes += plan->frame.size();
      report.in_bulk = report.in_bulk || plan->literals_in_bulk;
    }
    if (file.archive) {
      report.repacked_members = static_cast<std::uint64_t>(
          std::count_if(file.archive->parts.begin(), file.archive->parts.end(),
                        [](const ArchivePart& part) { return part.member.has_value(); }));
    }
    return report;
  }

  const Manifest& base_;
  TreeReader& base_files_;
  const Manifest& target_;
  TreeReader& target_files_;
  std::vector<ContentSource> sources_;
  std::vector<PlannedFile> files_;
  Framer framer_;
  bool has_archives_ = false;
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
