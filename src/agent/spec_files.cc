// SPDX-License-Identifier: Apache-2.0
#include "agent/spec_files.h"

#include <charconv>
#include <filesystem>

#include "fleet/component_document.h"
#include "os/files.h"

namespace segue::agent {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::string_view kEnd = ".json";
constexpr std::size_t kMaxFleetBytes = 200;

// COMPONENT@REVISION.json
std::optional<SpecFiles::Key> key_of(const std::string& name) {
  const auto at = name.rfind('@');
  if (at == std::string::npos || !name.ends_with(kEnd)) return std::nullopt;
  SpecFiles::Key key{name.substr(0, at), 0};
  const char* end = name.data() + name.size() - kEnd.size();
  const auto [stop, error] = std::from_chars(name.data() + at + 1, end, key.second);
  if (error != std::errc() || stop != end) return std::nullopt;
  return key;
}

}  // namespace

std::string SpecFiles::path(const Key& key) const {
  return fmt::format("{}/{}@{}{}", directory_, key.first, key.second, kEnd);
}

Result<SpecFiles> SpecFiles::open(const std::string& directory) {
  SEGUE_TRY(os::ensure_private_directory(directory));
  SpecFiles files(directory);
  std::error_code error;
  if (std::filesystem::exists(directory + "/fleet", error)) {
    SEGUE_ASSIGN(files.fleet_, os::read_file(directory + "/fleet", kMaxFleetBytes));
  }
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    const auto key = key_of(entry.path().filename().string());
    if (!key) continue;
    SEGUE_ASSIGN(const std::string document,
                 os::read_file(entry.path().string(), fleet::kMaxComponentBytes));
    auto spec = fleet::read_component(document);
    if (!spec) return fail(spec.error().with("cannot use " + entry.path().string()));
    files.specs_[*key] = *std::move(spec);
  }
  if (error) return fail(base::errno_error("read " + directory, error.value()));
  return files;
}

Result<void> SpecFiles::keep(const fleet::DesiredHost& desired) {
  if (!fleet_.empty() && desired.fleet != fleet_) {
    return fail(ErrorCode::failed_precondition,
                "the server leads fleet {}, and this host obeys {}: to change that, remove {}",
                desired.fleet, fleet_, directory_);
  }
  for (const auto& [key, document] : desired.specs) {
    if (specs_.contains(key)) continue;  // a revision never changes
    auto spec = fleet::read_component(document);
    if (!spec) {
      return fail(spec.error().with(fmt::format("{} revision {}", key.first, key.second)));
    }
    if (spec->name != key.first) {
      return fail(ErrorCode::data_loss, "a specification of {} says that it is of {}", key.first,
                  spec->name);
    }
    SEGUE_TRY(os::write_file_atomically(path(key), document));
    specs_[key] = *std::move(spec);
  }
  if (fleet_.empty()) {
    SEGUE_TRY(os::write_file_atomically(directory_ + "/fleet", desired.fleet));
    fleet_ = desired.fleet;
  }
  forget_old(desired);
  return {};
}

void SpecFiles::forget_old(const fleet::DesiredHost& desired) {
  std::map<std::string, std::size_t> newer;  // than the one looked at, by component
  for (auto it = specs_.end(); it != specs_.begin();) {
    --it;
    const Key key = it->first;
    if (newer[key.first]++ < kKeptRevisions || desired.specs.contains(key)) continue;
    std::error_code ignored;  // it is tried again after the next document
    if (std::filesystem::remove(path(key), ignored)) it = specs_.erase(it);
  }
}

const fleet::ComponentSpec* SpecFiles::find(const std::string& component,
                                            fleet::Revision revision) const {
  const auto found = specs_.find({component, revision});
  return found == specs_.end() ? nullptr : &found->second;
}

}  // namespace segue::agent
