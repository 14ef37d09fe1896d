// SPDX-License-Identifier: Apache-2.0
#include "library/metadata_store.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "library/object_store.h"
#include "os/files.h"
#include "tuf/client.h"
#include "tuf/envelope.h"

namespace segue::library {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::string_view kJson = ".json";
constexpr std::uint64_t kMaxVersion = 1'000'000'000;  // beyond it, no publisher made the file
constexpr std::size_t kMaxMetadataBytes = std::size_t{64} << 20;  // it is the publisher's own

// Two digits of a role's name that is percent-encoded are put back.
std::string percent_decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned value = 0;
    const bool encoded = text[i] == '%' && i + 2 < text.size() &&
                         std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16).ptr ==
                             text.data() + i + 3;
    out += encoded ? static_cast<char>(value) : text[i];
    if (encoded) i += 2;
  }
  return out;
}

}  // namespace

std::optional<MetadataFileName> parse_metadata_name(const std::string& name) {
  if (!name.ends_with(kJson)) return std::nullopt;
  const std::string_view stem = std::string_view(name).substr(0, name.size() - kJson.size());
  if (stem == tuf::kTimestamp) return MetadataFileName{std::string(stem), 0};
  MetadataFileName parsed;
  const char* end = stem.data() + stem.size();
  const auto [dot, problem] = std::from_chars(stem.data(), end, parsed.version);
  if (problem != std::errc() || dot == end || *dot != '.' || parsed.version == 0) {
    return std::nullopt;
  }
  parsed.role = percent_decode({dot + 1, static_cast<std::size_t>(end - dot - 1)});
  if (parsed.role.empty()) return std::nullopt;
  return parsed;
}

MetadataStore::MetadataStore(const std::string& library) : library_(library) {}

std::string MetadataStore::path_of(const std::string& name) const {
  return fmt::format("{}/{}/{}", library_, kMetadataFolder, name);
}

bool MetadataStore::exists() const {
  return ::access(path_of("timestamp.json").c_str(), F_OK) == 0;
}

Result<std::vector<std::string>> MetadataStore::list() const {
  return list_folder(path_of(""));
}

Result<std::string> MetadataStore::read_file(const std::string& name) const {
  return os::read_file(path_of(name), kMaxMetadataBytes);
}

Result<std::uint64_t> MetadataStore::newest_root() const {
  SEGUE_ASSIGN(const auto names, list());
  std::uint64_t newest = 0;
  for (const auto& name : names) {
    const auto file = parse_metadata_name(name);
    if (file && file->role == tuf::kRoot) newest = std::max(newest, file->version);
  }
  if (newest > 0) return newest;
  return fail(ErrorCode::data_loss, "{} holds no N.root.json", path_of(""));
}

Result<tuf::Repository> MetadataStore::read_under(std::uint64_t root) const {
  SEGUE_ASSIGN(const std::string root_bytes, read_file(fmt::format("{}.root.json", root)));
  SEGUE_ASSIGN(const std::string timestamp, read_file("timestamp.json"));
  SEGUE_ASSIGN(const auto timestamp_envelope, tuf::parse_envelope(timestamp));
  SEGUE_ASSIGN(const auto said, tuf::from_json<tuf::Timestamp>(timestamp_envelope.signed_part));
  SEGUE_ASSIGN(const std::string snapshot,
               read_file(fmt::format("{}.snapshot.json", said.snapshot.version)));
  SEGUE_ASSIGN(const auto snapshot_envelope, tuf::parse_envelope(snapshot));
  SEGUE_ASSIGN(const auto roles, tuf::from_json<tuf::Snapshot>(snapshot_envelope.signed_part));
  std::map<std::string, std::string> role_bytes;
  for (const auto& [role, file] : roles.meta) {
    SEGUE_ASSIGN(role_bytes[role],
                 read_file(fmt::format("{}.{}", file.version, tuf::file_name_of(role))));
  }
  return tuf::Repository::open(root_bytes, timestamp, snapshot, role_bytes);
}

Result<tuf::Repository> MetadataStore::read_newest() const {
  if (!exists()) {
    return fail(
        ErrorCode::not_found,
        "there is no release library in {}: the first `segue publish` makes one, with --root",
        library_);
  }
  SEGUE_ASSIGN(const std::uint64_t newest, newest_root());
  auto repository = read_under(newest);
  // A publisher may have been killed between a root and what its new keys sign.
  if (!repository && newest > 1) {
    if (auto before = read_under(newest - 1)) {
      SEGUE_ASSIGN(const std::string next, read_file(fmt::format("{}.root.json", newest)));
      SEGUE_TRY(before->adopt_root(next));
      return before;
    }
  }
  if (repository) return repository;
  return fail(std::move(repository).error().with(fmt::format("the metadata in {}", path_of(""))));
}

Result<tuf::Repository> MetadataStore::read() const {
  SEGUE_ASSIGN(tuf::Repository repository, read_newest());
  SEGUE_TRY(use_up_versions(repository));
  return repository;
}

Result<void> MetadataStore::use_up_versions(tuf::Repository& repository) const {
  SEGUE_ASSIGN(const auto names, list());
  for (const auto& name : names) {
    const auto file = parse_metadata_name(name);
    const bool numbered = file && file->role != tuf::kRoot && file->role != tuf::kTimestamp;
    if (numbered && file->version <= kMaxVersion) repository.use_up(file->role, file->version);
  }
  return {};
}

Result<void> MetadataStore::write(const Disk& disk,
                                  const std::vector<tuf::RepositoryFile>& files) const {
  const auto waiting = [&](const tuf::RepositoryFile& file) {
    return fmt::format("{}/{}/{}", library_, kIncomingFolder, file.name);
  };
  SEGUE_TRY(disk.make_directory(path_of("")));
  for (const auto& file : files) {
    SEGUE_TRY(disk.write(waiting(file), delta::view_of(file.bytes)));
  }
  SEGUE_TRY(disk.sync_all());
  // Nobody looks for the others before the timestamp, the last one, leads to them.
  for (std::size_t i = 0; i + 1 < files.size(); ++i) {
    SEGUE_TRY(disk.rename(waiting(files[i]), path_of(files[i].name)));
  }
  SEGUE_TRY(disk.sync_all());
  SEGUE_TRY(disk.rename(waiting(files.back()), path_of(files.back().name)));
  if (auto synced = disk.sync_all(); !synced) {
    return fail(ErrorCode::unknown_outcome,
                "{} was replaced, but may be lost in a power failure: {}",
                path_of(files.back().name), synced.error().message());
  }
  return {};
}

std::map<std::string, ReleaseList> components_of(const tuf::Repository& repository) {
  std::map<std::string, ReleaseList> components;
  for (const auto& [role, file] : repository.snapshot().meta) {
    if (role == tuf::kTargets || !check_component(role)) continue;
    if (const tuf::Targets* targets = repository.role(role)) {
      components.emplace(role, releases_of(role, *targets));
    }
  }
  return components;
}

}  // namespace segue::library
