// SPDX-License-Identifier: Apache-2.0
#include "relay/cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <vector>

#include "fetch/served_file.h"
#include "os/files.h"

namespace segue::relay {
namespace {

namespace fs = std::filesystem;

using base::ErrorCode;
using base::fail;
using base::Result;
using os::UniqueFd;

constexpr std::string_view kPart = ".part";
constexpr const char* kNew = ".new";  // empty, for a moment
constexpr std::size_t kDigestDigits = 64;
constexpr mode_t kFileMode = 0600;

bool is_digest(const std::string& name) {
  return name.size() == kDigestDigits &&
         fetch::parse_target("/objects/" + name.substr(0, 2) + "/" + name).has_value();
}

// What is in it is no secret: others may read it, but not write.
Result<void> ensure_directory(const std::string& path) {
  struct stat status{};
  const bool is_ours = ::lstat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode) &&
                       status.st_uid == ::geteuid();
  if (!is_ours) return os::ensure_private_directory(path);
  if ((status.st_mode & 022U) == 0) return {};
  return fail(ErrorCode::failed_precondition,
              "{} may be written by other users (mode {:03o}): run `chmod go-w {}`", path,
              status.st_mode & 0777U, path);
}

}  // namespace

Cache::Cache(std::string directory, std::uint64_t max_bytes, UniqueFd lock)
    : directory_(std::move(directory)), max_bytes_(max_bytes), lock_(std::move(lock)) {}
Cache::~Cache() = default;

Result<std::unique_ptr<Cache>> Cache::open(const std::string& directory, std::uint64_t max_bytes) {
  for (const char* folder : {"", "/objects", "/parts", "/metadata"}) {
    SEGUE_TRY(ensure_directory(directory + folder));
  }
  const std::string path = directory + "/lock";
  UniqueFd lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, kFileMode));
  if (!lock) return fail(base::errno_error("open " + path, errno));
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return fail(ErrorCode::failed_precondition,
                "another relay uses {}: end it, or choose another --cache", directory);
  }
  std::unique_ptr<Cache> cache(new Cache(directory, max_bytes, std::move(lock)));
  SEGUE_TRY(cache->read_directory());
  return cache;
}

std::string Cache::path_of(const std::string& digest, bool is_whole) const {
  return fmt::format("{}/{}/{}{}", directory_, is_whole ? "objects" : "parts", digest,
                     is_whole ? "" : kPart);
}

Result<void> Cache::read_directory() {
  struct Found {
    std::string digest;
    bool is_whole;
    std::uint64_t bytes;
    timespec at;
  };
  std::vector<Found> all;
  for (const bool is_whole : {true, false}) {
    std::error_code problem;
    const std::string folder = directory_ + (is_whole ? "/objects" : "/parts");
    for (fs::directory_iterator file(folder, problem), end; !problem && file != end;
         file.increment(problem)) {
      std::string name = file->path().filename().string();
      if (!is_whole && name.ends_with(kPart)) name.resize(name.size() - kPart.size());
      struct stat status{};
      if (!is_digest(name) || ::lstat(file->path().c_str(), &status) != 0 ||
          !S_ISREG(status.st_mode)) {
        continue;
      }
      all.push_back({name, is_whole, static_cast<std::uint64_t>(status.st_size), status.st_mtim});
    }
    if (problem) return fail(base::errno_error("read " + folder, problem.value()));
  }
  std::ranges::stable_sort(all, [](const Found& left, const Found& right) {
    return std::pair(left.at.tv_sec, left.at.tv_nsec) <
           std::pair(right.at.tv_sec, right.at.tv_nsec);
  });
  for (const Found& found : all) {
    if (entries_.contains(found.digest)) {  // whole, and a beginning that was left
      ::unlink(path_of(found.digest, false).c_str());
      entries_[found.digest].is_whole = true;
      continue;
    }
    Entry& entry = entries_[found.digest];
    entry = {.bytes = found.bytes, .is_whole = found.is_whole};
    bytes_ += found.bytes;
    touch(found.digest, entry);
  }
  shrink_to(max_bytes_);
  return {};
}

void Cache::touch(const std::string& digest, Entry& entry) {
  if (entry.turn != 0) turns_.erase(entry.turn);
  entry.turn = next_turn_++;
  turns_[entry.turn] = digest;
}

Result<Cache::Held> Cache::find(const std::string& digest) {
  const auto nothing = [&digest] { return fail(ErrorCode::not_found, "there is no {}", digest); };
  const auto found = entries_.find(digest);
  if (found == entries_.end()) return nothing();
  Entry& entry = found->second;
  const std::string path = path_of(digest, entry.is_whole);
  auto file = std::make_shared<UniqueFd>(::open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  const int problem = *file ? 0 : errno;
  struct stat status{};
  const bool is_gone = problem == ENOENT || problem == ELOOP;
  if (problem != 0 && !is_gone) return fail(base::errno_error("open " + path, problem));
  if (!is_gone && ::fstat(file->get(), &status) != 0) {
    return fail(base::errno_error("stat " + path, errno));
  }
  if (status.st_size == 0) {
    // Somebody else removed it. Or nothing of it has come yet: then whoever fetches it keeps it.
    if (entry.users == 0) remove(digest);
    return nothing();
  }
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (size != entry.bytes) {
    bytes_ += size - entry.bytes;
    entry.bytes = size;
    entry.is_verified = false;
  }
  touch(digest, entry);
  return Held{std::move(file), size, entry.is_whole, entry.is_verified};
}

Result<Cache::Held> Cache::begin(const std::string& digest) {
  const std::string path = path_of(digest, false);
  const std::string new_path = path + kNew;
  auto file = std::make_shared<UniqueFd>(
      ::open(new_path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, kFileMode));
  if (!*file) return fail(base::errno_error("open " + new_path, errno));
  const auto found = entries_.find(digest);
  const std::uint32_t users = found == entries_.end() ? 0 : found->second.users;
  remove(digest);
  if (std::rename(new_path.c_str(), path.c_str()) != 0) {
    return fail(base::errno_error("rename " + new_path, errno));
  }
  Entry& entry = entries_[digest];
  entry.users = users;
  touch(digest, entry);
  return Held{.file = std::move(file)};
}

void Cache::grew(const std::string& digest, std::uint64_t bytes) {
  const auto found = entries_.find(digest);
  if (found == entries_.end()) return;
  found->second.bytes += bytes;
  bytes_ += bytes;
  shrink_to(max_bytes_);
}

Result<void> Cache::keep(const std::string& digest) {
  const auto found = entries_.find(digest);
  if (found == entries_.end()) {
    return fail(ErrorCode::internal, "{} is not in the cache", digest);
  }
  Entry& entry = found->second;
  const std::string part = path_of(digest, false);
  if (!entry.is_whole && std::rename(part.c_str(), path_of(digest, true).c_str()) != 0) {
    return fail(base::errno_error("rename " + part, errno));
  }
  entry.is_whole = entry.is_verified = true;
  return {};
}

void Cache::doubt(const std::string& digest) {
  const auto found = entries_.find(digest);
  if (found != entries_.end()) found->second.is_verified = false;
}

void Cache::remove(const std::string& digest) {
  ::unlink(path_of(digest, true).c_str());
  ::unlink(path_of(digest, false).c_str());
  const auto found = entries_.find(digest);
  if (found == entries_.end()) return;
  bytes_ -= found->second.bytes;
  turns_.erase(found->second.turn);
  entries_.erase(found);
}

void Cache::use(const std::string& digest) {
  const auto found = entries_.find(digest);
  if (found != entries_.end()) ++found->second.users;
}

void Cache::end_use(const std::string& digest) {
  const auto found = entries_.find(digest);
  if (found != entries_.end() && found->second.users > 0) --found->second.users;
}

bool Cache::evict(std::uint64_t bytes) {
  const std::uint64_t before = bytes_;
  shrink_to(before - std::min(before, bytes));
  return bytes_ < before;
}

void Cache::shrink_to(std::uint64_t bytes) {
  for (auto turn = turns_.begin(); bytes_ > bytes && turn != turns_.end();) {
    const std::string digest = turn->second;
    ++turn;
    if (entries_.at(digest).users == 0) remove(digest);
  }
}

}  // namespace segue::relay
