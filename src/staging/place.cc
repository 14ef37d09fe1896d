// SPDX-License-Identifier: Apache-2.0
#include "staging/place.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <filesystem>

#include "base/assert.h"
#include "os/files.h"
#include "staging/stamps.h"
#include "tree/beneath.h"

namespace segue::staging {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using tree::shown;

constexpr std::size_t kMaxStateBytes = std::size_t{1} << 20;
constexpr std::string_view kNew = "new-";
constexpr std::string_view kOld = "old-";

Result<void> sync_directory(const std::string& path) {
  const os::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd && ::fsync(fd.get()) == 0) return {};
  return fail(base::errno_error("fsync " + shown(path), errno));
}

Result<void> rename_path(const std::string& from, const std::string& to, unsigned flags = 0) {
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags) == 0) return {};
  return fail(base::errno_error(fmt::format("rename {} to {}", shown(from), shown(to)), errno));
}

// 0: it has no number.
std::uint64_t leading_number(std::string_view name) {
  std::uint64_t number = 0;
  std::from_chars(name.data(), name.data() + name.size(), number);
  return number;
}

Result<std::vector<std::string>> names_in(const std::string& directory) {
  std::vector<std::string> names;
  std::error_code problem;
  for (std::filesystem::directory_iterator at(directory, problem), end; !problem && at != end;
       at.increment(problem)) {
    names.push_back(at->path().filename().string());
  }
  if (problem) return fail(base::errno_error("list " + shown(directory), problem.value()));
  std::ranges::sort(names);
  return names;
}

}  // namespace

std::string_view to_string(Role role) {
  switch (role) {
    case Role::live:
      return "live";
    case Role::previous:
      return "previous";
    case Role::staged:
      return "staged";
  }
  return "unknown";
}

Result<Place> Place::open(const Settings& settings) {
  std::error_code problem;
  const std::string directory = std::filesystem::absolute(settings.directory, problem).string();
  SEGUE_TRY(directory_id(directory));
  for (const char* name : {"", "/trees", "/downloads", "/metadata"}) {
    const std::string path = directory + "/.segue" + name;
    if (::mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
      return fail(base::errno_error("make directory " + shown(path), errno));
    }
  }
  SEGUE_TRY(os::ensure_private_directory(directory + "/.segue"));
  SEGUE_ASSIGN(os::FileLock lock, os::FileLock::acquire(directory + "/.segue/lock", settings.holder,
                                                        settings.max_wait));
  Place place(directory, std::move(lock));
  SEGUE_TRY(place.recover());
  return place;
}

Result<void> Place::recover() {
  SEGUE_TRY(load());
  const PlaceState before = state_;
  SEGUE_TRY(look_at_live());
  settle(state_, live_);
  SEGUE_TRY(look_at_trees());
  std::vector<std::uint64_t> lost;
  for (const TreeRecord& record : state_.trees) {
    if (find(record.number) == nullptr) lost.push_back(record.number);
  }
  for (const std::uint64_t number : lost) {
    notes_.push_back(fmt::format("{} is gone from {}", state_.find(number)->name(), trees_path()));
    state_.remove(number);
  }
  if (state_ != before) SEGUE_TRY(save());
  remove_leftovers();
  return {};
}

Result<void> Place::load() {
  const std::string path = own("state.json");
  const auto bytes = os::read_file(path, kMaxStateBytes);
  if (!bytes && bytes.error().code() == ErrorCode::not_found) return {};
  if (!bytes) return fail(bytes.error());
  auto state = decode_state(*bytes);
  if (!state) {
    return fail(std::move(state).error().with(
        fmt::format("{} is damaged; move {} away and stage again", shown(path), shown(own("")))));
  }
  state_ = *std::move(state);
  return {};
}

Result<void> Place::save() {
  SEGUE_TRY(os::write_file_atomically(own("state.json"), encode(state_)));
  sort_trees();
  return {};
}

Result<void> Place::look_at_live() {
  live_.reset();
  auto live = directory_id(live_path());
  if (live) {
    live_ = *live;
    return {};
  }
  if (live.error().code() == ErrorCode::not_found) return {};
  return fail(std::move(live).error().with(
      "the live tree has to be a directory of its own, not a link: put it there itself"));
}

Result<void> Place::look_at_trees() {
  trees_.clear();
  const TreeRecord* live = live_ ? state_.find(*live_) : nullptr;
  if (live != nullptr) trees_.push_back({*live, live_path(), Role::live});
  SEGUE_ASSIGN(const std::vector<std::string> names, names_in(trees_path()));
  for (const std::string& name : names) {
    std::string path = trees_path() + "/" + name;
    if (name.starts_with(kOld)) continue;
    const auto id = directory_id(path);
    if (!id) continue;  // a file
    const TreeRecord* record = state_.find(*id);
    if (record == nullptr || find(record->number) != nullptr) continue;
    if (name.starts_with(kNew)) {
      const std::string settled = fmt::format("{}/{}", trees_path(), record->number);
      SEGUE_TRY(rename_path(path, settled));
      path = settled;
    }
    trees_.push_back({*record, std::move(path), Role::staged});
  }
  sort_trees();
  return {};
}

void Place::sort_trees() {
  for (PlacedTree& tree : trees_) {
    if (const TreeRecord* record = state_.find(tree.record.number)) tree.record = *record;
    const bool is_live = live_ && tree.record.directory == *live_;
    const bool is_previous = state_.previous == tree.record.number;
    tree.role = is_live ? Role::live : is_previous ? Role::previous : Role::staged;
  }
  std::ranges::sort(trees_, [](const PlacedTree& left, const PlacedTree& right) {
    if (left.role != right.role) return left.role < right.role;
    return left.record.number > right.record.number;
  });
}

// Of trees that were being made or removed, and of trees that are gone.
void Place::remove_leftovers() {
  const auto names = names_in(trees_path());
  if (!names) {
    notes_.push_back(names.error().to_string());
    return;
  }
  for (const std::string& name : *names) {
    const std::string path = trees_path() + "/" + name;
    const bool is_directory = directory_id(path).has_value();
    const bool is_leftover = name.starts_with(kNew) || name.starts_with(kOld) ||
                             (!is_directory && state_.find(leading_number(name)) == nullptr);
    if (!is_leftover) continue;
    Result<void> removed;
    if (is_directory) {
      removed = tree::remove_tree(path);
    } else if (::unlink(path.c_str()) != 0) {
      removed = fail(base::errno_error("remove " + shown(path), errno));
    }
    if (!removed) notes_.push_back(removed.error().to_string());
  }
}

const PlacedTree* Place::live() const {
  return !trees_.empty() && trees_.front().role == Role::live ? &trees_.front() : nullptr;
}

const PlacedTree* Place::find(std::uint64_t number) const {
  const auto found = std::ranges::find_if(
      trees_, [&](const PlacedTree& tree) { return tree.record.number == number; });
  return found == trees_.end() ? nullptr : &*found;
}

std::string Place::sidecar(std::uint64_t number, const char* kind) const {
  return fmt::format("{}/{}.{}", trees_path(), number, kind);
}

Result<delta::Manifest> Place::manifest_of(const TreeRecord& tree) const {
  if (!tree.root) return fail(ErrorCode::failed_precondition, "{} was never read", tree.name());
  const std::string path = sidecar(tree.number, "manifest");
  SEGUE_ASSIGN(const std::string bytes, os::read_file(path, delta::kMaxManifestBytes));
  if (delta::digest_of(delta::view_of(bytes)) != *tree.root) {
    return fail(ErrorCode::data_loss, "{} is not what was kept there", shown(path));
  }
  return delta::decode_manifest(delta::view_of(bytes));
}

std::vector<tree::FileStamp> Place::stamps_of(const TreeRecord& tree) const {
  const auto bytes = os::read_file(sidecar(tree.number, "stamps"), kMaxStampsBytes);
  if (!bytes) return {};
  return decode_stamps(*bytes).value_or(std::vector<tree::FileStamp>());
}

Result<void> Place::keep_stamps(const TreeRecord& tree,
                                const std::vector<tree::FileStamp>& stamps) const {
  return os::write_file_atomically(sidecar(tree.number, "stamps"), encode_stamps(stamps));
}

Result<void> Place::write_sidecars(const TreeRecord& record, const delta::Manifest& manifest,
                                   const std::vector<tree::FileStamp>& stamps) const {
  const delta::Bytes bytes = delta::encode(manifest);
  SEGUE_TRY(os::write_file_atomically(sidecar(record.number, "manifest"), delta::text_of(bytes)));
  return keep_stamps(record, stamps);
}

Result<std::uint64_t> Place::next_number() {
  const std::uint64_t number = state_.next_number++;
  SEGUE_TRY(save());
  return number;
}

std::string Place::new_path(std::uint64_t number) const {
  return fmt::format("{}/{}{}", trees_path(), kNew, number);
}

Result<void> Place::add(TreeRecord record, const delta::Manifest& manifest,
                        const std::vector<tree::FileStamp>& stamps) {
  const std::string path = new_path(record.number);
  SEGUE_ASSIGN(record.directory, directory_id(path));
  SEGUE_TRY(write_sidecars(record, manifest, stamps));
  SEGUE_TRY(sync_directory(trees_path()));
  state_.trees.push_back(record);
  if (auto saved = save(); !saved) {
    state_.remove(record.number);
    return saved;
  }
  std::string settled = fmt::format("{}/{}", trees_path(), record.number);
  SEGUE_TRY(rename_path(path, settled));
  trees_.push_back({std::move(record), std::move(settled), Role::staged});
  sort_trees();
  return sync_directory(trees_path());
}

Result<void> Place::know_live(TreeRecord record, const delta::Manifest* manifest,
                              const std::vector<tree::FileStamp>& stamps) {
  SEGUE_ASSERT(live_.has_value());
  record.directory = *live_;
  if (manifest != nullptr) SEGUE_TRY(write_sidecars(record, *manifest, stamps));
  const TreeRecord* known = state_.find(*live_);
  const PlaceState before = state_;
  if (known != nullptr) state_.remove(known->number);
  state_.trees.push_back(record);
  if (auto saved = save(); !saved) {
    state_ = before;
    return saved;
  }
  return look_at_trees();
}

Result<void> Place::remove(std::uint64_t number) {
  const PlacedTree* placed = find(number);
  SEGUE_ASSERT(placed != nullptr && placed->role != Role::live);
  const std::string doomed = fmt::format("{}/{}{}", trees_path(), kOld, number);
  SEGUE_TRY(rename_path(placed->path, doomed));
  SEGUE_TRY(sync_directory(trees_path()));
  std::erase_if(trees_, [&](const PlacedTree& tree) { return tree.record.number == number; });
  state_.remove(number);
  SEGUE_TRY(save());
  remove_leftovers();
  return {};
}

Result<void> Place::exchange(std::uint64_t number) {
  SEGUE_TRY(look_at_live());
  if (live_ && state_.find(*live_) == nullptr) {
    // So that it can be told, and brought back.
    SEGUE_ASSIGN(const std::uint64_t unknown, next_number());
    SEGUE_TRY(know_live({.number = unknown}, nullptr, {}));
  }
  const PlacedTree* to = find(number);
  SEGUE_ASSERT(to != nullptr && to->role != Role::live);
  const std::string path = to->path;
  Intent intent{.to = number};
  if (live() != nullptr) intent.from = live()->record.number;
  state_.intent = intent;
  if (auto saved = save(); !saved) {
    state_.intent.reset();
    return fail(ErrorCode::failed_precondition,
                "nothing was switched, because that it was to be could not be kept: {}",
                saved.error().message());
  }
  auto renamed = rename_path(path, live_path(), live_ ? RENAME_EXCHANGE : RENAME_NOREPLACE);
  if (!renamed) {
    state_.intent.reset();
    if (auto saved = save(); !saved) notes_.push_back(saved.error().to_string());
    return renamed;
  }
  return end_exchange();
}

Result<void> Place::end_exchange() {
  Result<void> done = sync_directory(directory_);
  if (done) done = sync_directory(trees_path());
  if (done) done = look_at_live();
  settle(state_, live_);
  if (done) done = look_at_trees();
  if (done) done = save();
  if (done) return {};
  return fail(ErrorCode::unknown_outcome,
              "the tree was switched, but that may not outlast a power failure: {}",
              done.error().to_string());
}

Result<void> Place::clear_downloads() {
  SEGUE_ASSIGN(const std::vector<std::string> names, names_in(downloads_path()));
  for (const std::string& name : names) {
    const std::string path = downloads_path() + "/" + name;
    if (::unlink(path.c_str()) != 0) {
      return fail(base::errno_error("remove " + shown(path), errno));
    }
  }
  return {};
}

}  // namespace segue::staging
