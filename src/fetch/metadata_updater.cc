// SPDX-License-Identifier: Apache-2.0
#include "fetch/metadata_updater.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "os/files.h"

namespace segue::fetch {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr mode_t kFileMode = 0644;  // there are no secrets in metadata
constexpr std::uint64_t kMaxTargetBytes = std::uint64_t{1} << 30;  // they pass through memory

}  // namespace

std::string join_url(std::string_view base, std::string_view path) {
  while (base.ends_with('/')) base.remove_suffix(1);
  return fmt::format("{}/{}", base, path);
}

MetadataUpdater::MetadataUpdater(Settings settings, HttpClient& http)
    : settings_(std::move(settings)), http_(http), client_(settings_.client) {}

std::string MetadataUpdater::path_of(std::string_view role) const {
  return settings_.directory + "/" + tuf::file_name_of(role);
}

Result<void> MetadataUpdater::refresh(tuf::Time now) {
  return run(client_.refresh(now));
}

Result<tuf::FoundTarget> MetadataUpdater::find(const std::string& target_path) {
  SEGUE_TRY(run(client_.find(target_path)));
  return *client_.found();
}

Result<std::optional<tuf::Targets>> MetadataUpdater::find_role(const std::string& target_path) {
  // That a server has not got the role's file says nothing about whether there is such a role.
  const auto& delegations = client_.targets().delegations;
  const bool is_delegated =
      delegations && std::ranges::any_of(delegations->roles, [&](const tuf::DelegatedRole& role) {
        return role.covers(target_path);
      });
  if (!is_delegated) return std::nullopt;
  SEGUE_TRY(run(client_.find_role(target_path)));
  return client_.found_role();
}

Result<void> MetadataUpdater::run(tuf::Command command) {
  while (!tuf::is_last(command)) command = client_.on(carry_out(command));
  if (auto* failed = std::get_if<tuf::Failed>(&command)) return fail(std::move(failed->error));
  return {};
}

tuf::Event MetadataUpdater::carry_out(tuf::Command& command) {
  if (const auto* asked = std::get_if<tuf::Load>(&command)) return load(*asked);
  if (const auto* asked = std::get_if<tuf::Fetch>(&command)) return fetch(*asked);
  if (const auto* asked = std::get_if<tuf::Persist>(&command)) return persist(*asked);
  return forget(std::get<tuf::Forget>(command));
}

tuf::Event MetadataUpdater::load(const tuf::Load& load) const {
  if (const auto kept = unwritten_.find(load.role); kept != unwritten_.end()) {
    if (!kept->second) return tuf::Absent{};
    return tuf::Bytes{*kept->second};
  }
  auto bytes = os::read_file(path_of(load.role), load.max_bytes);
  if (bytes) return tuf::Bytes{*std::move(bytes)};
  // What cannot be read is fetched again; only the root cannot be.
  if (load.role == tuf::kRoot) return tuf::Broken{bytes.error()};
  return tuf::Absent{};
}

tuf::Event MetadataUpdater::fetch(const tuf::Fetch& fetch) {
  HttpRequest request{.url = join_url(settings_.url, fetch.file),
                      .limits = settings_.limits,
                      .byte_count = {},
                      .fields = settings_.fields};
  request.limits.max_bytes = fetch.max_bytes;
  auto bytes = http_.get(request);
  if (bytes) return tuf::Bytes{*std::move(bytes)};
  if (bytes.error().code() == ErrorCode::not_found) return tuf::Absent{};
  return tuf::Broken{bytes.error()};
}

tuf::Event MetadataUpdater::persist(const tuf::Persist& persist) {
  if (settings_.dry_run) {
    unwritten_.insert_or_assign(persist.role, persist.bytes);
    return tuf::Finished{};
  }
  auto written = os::write_file_atomically(path_of(persist.role), persist.bytes, kFileMode);
  if (!written) return tuf::Broken{written.error()};
  return tuf::Finished{};
}

tuf::Event MetadataUpdater::forget(const tuf::Forget& forget) {
  if (settings_.dry_run) {
    unwritten_.insert_or_assign(forget.role, std::nullopt);
    return tuf::Finished{};
  }
  const std::string path = path_of(forget.role);
  if (::unlink(path.c_str()) == 0 || errno == ENOENT) return tuf::Finished{};
  return tuf::Broken{base::errno_error("unlink " + path, errno)};
}

Result<void> trust_root(const std::string& directory, std::string_view root, tuf::Time now) {
  SEGUE_TRY(tuf::TrustedMetadata::start(root, now));
  const std::string path = directory + "/" + tuf::file_name_of(tuf::kRoot);
  return os::write_file_atomically(path, root, kFileMode);
}

Result<bool> download_target(HttpClient& http, const tuf::FoundTarget& target,
                             const std::string& url, const std::string& path, HttpLimits limits) {
  const std::uint64_t length = target.file.length;
  if (length > kMaxTargetBytes) {
    return fail(ErrorCode::resource_exhausted, "{} has {} bytes, {} are allowed", target.path,
                length, kMaxTargetBytes);
  }
  const auto present = os::read_file(path, length);
  if (present && present->size() == length && tuf::check_hashes(*present, target.file.hashes)) {
    return false;
  }
  limits.max_bytes = length;
  SEGUE_ASSIGN(const std::string bytes,
               http.get(HttpRequest{.url = url, .limits = limits, .byte_count = {}, .fields = {}}));
  if (bytes.size() != length) {
    return fail(ErrorCode::data_loss, "{} came with {} bytes and not {}", target.path, bytes.size(),
                length);
  }
  if (auto valid = tuf::check_hashes(bytes, target.file.hashes); !valid) {
    return fail(std::move(valid).error().with("the server sent another " + target.path));
  }
  SEGUE_TRY(os::write_file_atomically(path, bytes, kFileMode));
  return true;
}

}  // namespace segue::fetch
