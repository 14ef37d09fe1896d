// SPDX-License-Identifier: Apache-2.0
#include "library/object_store.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <cstring>
#include <filesystem>
#include <set>

#include "os/files.h"

namespace segue::library {

namespace fs = std::filesystem;

using base::ErrorCode;
using base::fail;
using base::Result;
using delta::Bytes;
using delta::ByteView;
using delta::Digest;

std::size_t ObjectStore::DigestHash::operator()(const Digest& digest) const {
  std::size_t hash = 0;
  std::memcpy(&hash, digest.bytes.data(), sizeof hash);
  return hash;
}

ObjectStore::ObjectStore(const Disk& disk) : disk_(disk) {}

std::string ObjectStore::path_of(const Digest& sha256) const {
  return fmt::format("{}/{}", disk_.directory(), object_path(sha256));
}

std::string ObjectStore::incoming(const std::string& name) const {
  return fmt::format("{}/{}/{}", disk_.directory(), kIncomingFolder, name);
}

bool ObjectStore::has(const ObjectRef& object) const {
  struct stat status{};
  return ::stat(path_of(object.sha256).c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
         static_cast<std::uint64_t>(status.st_size) == object.length;
}

bool ObjectStore::is_whole(const ObjectRef& object) const {
  return has(object) && read(object).has_value();
}

Result<Bytes> ObjectStore::read(const ObjectRef& object) const {
  const std::string path = path_of(object.sha256);
  auto text = os::read_file(path, static_cast<std::size_t>(object.length));
  if (!text && text.error().code() == ErrorCode::resource_exhausted) {
    return fail(ErrorCode::data_loss, "{} is longer than it was written", path);
  }
  if (!text) return fail(std::move(text).error());
  const ByteView bytes = delta::view_of(*text);
  if (auto checked = check_object(bytes, object); !checked) {
    return fail(std::move(checked).error().with(path));
  }
  return Bytes(bytes.begin(), bytes.end());
}

Result<void> ObjectStore::prepare() {
  for (const auto folder : {kObjectsFolder, kIncomingFolder}) {
    SEGUE_TRY(disk_.make_directory(fmt::format("{}/{}", disk_.directory(), folder)));
  }
  SEGUE_ASSIGN(const auto left, list_folder(incoming("")));
  for (const auto& name : left) SEGUE_TRY(disk_.remove(incoming(name)));
  return {};
}

Result<ObjectRef> ObjectStore::add(ByteView bytes) {
  const ObjectRef object{bytes.size(), delta::digest_of(bytes)};
  if (waiting_.contains(object.sha256) || is_whole(object)) return object;
  SEGUE_TRY(disk_.write(incoming(object.sha256.hex()), bytes));
  waiting_.emplace(object.sha256, object.length);
  waiting_bytes_ += object.length;
  if (waiting_bytes_ >= kMaxWaitingBytes || waiting_.size() >= kMaxWaitingObjects) {
    SEGUE_TRY(flush());
  }
  return object;
}

Result<void> ObjectStore::flush() {
  if (waiting_.empty()) return {};
  SEGUE_TRY(disk_.sync_all());
  std::set<std::uint8_t> folders;
  for (const auto& [sha256, length] : waiting_) {
    if (folders.insert(sha256.bytes[0]).second) SEGUE_TRY(make_folder(sha256));
    SEGUE_TRY(disk_.rename(incoming(sha256.hex()), path_of(sha256)));
    added_bytes_ += length;
    ++added_objects_;
  }
  waiting_.clear();
  waiting_bytes_ = 0;
  return disk_.sync_all();
}

void ObjectStore::abandon() {
  if (const auto left = list_folder(incoming(""))) {
    for (const auto& name : *left) (void)disk_.remove(incoming(name));
  }
  waiting_.clear();
  waiting_bytes_ = 0;
}

Result<void> ObjectStore::make_folder(const Digest& sha256) {
  return disk_.make_directory(fs::path(path_of(sha256)).parent_path().string());
}

Result<void> ObjectStore::for_each(const Visit& visit) const {
  for (int i = 0; i < 256; ++i) {
    const std::string folder = fmt::format("{}/{}/{:02x}", disk_.directory(), kObjectsFolder, i);
    SEGUE_ASSIGN(const auto names, list_folder(folder));
    for (const auto& name : names) {
      struct stat status{};
      const auto digest = digest_from_hex(name);
      const std::string path = fmt::format("{}/{}", folder, name);
      if (!digest || ::lstat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
      SEGUE_TRY(visit({static_cast<std::uint64_t>(status.st_size), *digest}));
    }
  }
  return {};
}

Result<void> ObjectStore::remove(const Digest& sha256) const {
  return disk_.remove(path_of(sha256));
}

}  // namespace segue::library
