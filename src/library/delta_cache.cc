// SPDX-License-Identifier: Apache-2.0
#include "library/delta_cache.h"

#include <fmt/format.h>

#include <array>

#include "library/chunk_cache.h"
#include "os/files.h"
#include "tuf/fields.h"

namespace segue::library {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using delta::Digest;
using delta::FileReport;
using tuf::Json;

constexpr std::size_t kMaxFileBytes = std::size_t{512} << 20;
constexpr std::uint64_t kNoBase = std::uint64_t{1} << 62;  // its place in the list

std::string name_of(const Digest& base_root, const Digest& target_root) {
  return fmt::format("{}-{}.json", base_root.hex(), target_root.hex());
}

Json to_json(const PairReport& report) {
  Json files = Json::array();
  for (const FileReport& file : report.files) {
    files.push_back({file.target_entry, file.base_entry.value_or(kNoBase),
                     static_cast<unsigned>(file.method), file.operations, file.literal_bytes,
                     file.coded_bytes, file.in_bulk ? 1 : 0});
  }
  return {{"length", report.delta.length},
          {"sha256", report.delta.sha256.hex()},
          {"manifest_bytes", report.manifest_bytes},
          {"bulk_bytes", report.bulk_bytes},
          {"files", std::move(files)}};
}

Result<FileReport> parse_file(const Json& row) {
  constexpr std::size_t kFields = 7;
  if (!row.is_array() || row.size() != kFields) return fail(ErrorCode::data_loss, "not a file");
  std::array<std::uint64_t, kFields> numbers{};
  for (std::size_t i = 0; i < kFields; ++i) {
    if (!row[i].is_number_unsigned()) return fail(ErrorCode::data_loss, "not a number");
    numbers[i] = row[i].get<std::uint64_t>();
  }
  if (numbers[2] > 2) return fail(ErrorCode::data_loss, "not a method");
  FileReport file;
  file.target_entry = numbers[0];
  if (numbers[1] != kNoBase) file.base_entry = numbers[1];
  file.method = static_cast<FileReport::Method>(numbers[2]);
  file.operations = numbers[3];
  file.literal_bytes = numbers[4];
  file.coded_bytes = numbers[5];
  file.in_bulk = numbers[6] != 0;
  return file;
}

Result<PairReport> parse(std::string_view text) {
  SEGUE_ASSIGN(Json json, tuf::parse_json(text));
  SEGUE_ASSIGN(auto fields, tuf::Fields::of(std::move(json), "a cached delta"));
  PairReport report;
  SEGUE_ASSIGN(report.delta.length, fields.number("length", 1));
  SEGUE_ASSIGN(const std::string sha256, fields.string("sha256"));
  const auto digest = digest_from_hex(sha256);
  if (!digest) return fail(ErrorCode::data_loss, "not a digest");
  report.delta.sha256 = *digest;
  SEGUE_ASSIGN(report.manifest_bytes, fields.number("manifest_bytes", 0));
  SEGUE_ASSIGN(report.bulk_bytes, fields.number("bulk_bytes", 0));
  SEGUE_ASSIGN(const Json files, fields.take("files"));
  for (const auto& row : files) {
    SEGUE_ASSIGN(FileReport file, parse_file(row));
    report.files.push_back(file);
  }
  return report;
}

}  // namespace

DeltaCache::DeltaCache(const Disk& disk) : disk_(disk) {}

std::string DeltaCache::folder() const {
  return fmt::format("{}/{}/deltas", disk_.directory(), kCacheFolder);
}

std::optional<PairReport> DeltaCache::read(const std::string& name) const {
  const auto text = os::read_file(fmt::format("{}/{}", folder(), name), kMaxFileBytes);
  if (!text) return std::nullopt;
  auto report = parse(*text);
  if (!report) return std::nullopt;
  return *std::move(report);
}

std::optional<PairReport> DeltaCache::find(const Digest& base_root,
                                           const Digest& target_root) const {
  return read(name_of(base_root, target_root));
}

Result<void> DeltaCache::add(const Digest& base_root, const Digest& target_root,
                             const PairReport& report) const {
  const std::string name = name_of(base_root, target_root);
  const std::string fresh = fmt::format("{}/{}/{}", disk_.directory(), kIncomingFolder, name);
  SEGUE_TRY(disk_.make_directory(fmt::format("{}/{}", disk_.directory(), kCacheFolder)));
  SEGUE_TRY(disk_.make_directory(folder()));
  const std::string text = to_json(report).dump();
  SEGUE_TRY(disk_.write(fresh, delta::view_of(text)));
  return disk_.rename(fresh, fmt::format("{}/{}", folder(), name));
}

Result<void> DeltaCache::keep_only(const std::function<bool(const ObjectRef&)>& stays) const {
  SEGUE_ASSIGN(const auto names, list_folder(folder()));
  for (const auto& name : names) {
    const auto report = read(name);
    if (!report || !stays(report->delta)) {
      SEGUE_TRY(disk_.remove(fmt::format("{}/{}", folder(), name)));
    }
  }
  return {};
}

}  // namespace segue::library
