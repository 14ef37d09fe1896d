// SPDX-License-Identifier: Apache-2.0
#include "os/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "os/unique_fd.h"

namespace segue::os {
namespace {

using base::errno_error;
using base::ErrorCode;
using base::fail;
using base::Result;

Result<UniqueFd> open_file(const std::string& path, int flags, mode_t mode = 0) {
  UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC, mode));
  if (!fd) return fail(errno_error(fmt::format("open {}", path), errno));
  return fd;
}

Result<void> write_all(int fd, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return fail(errno_error(fmt::format("write {}", path), errno));
    }
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return {};
}

Result<void> sync_to_disk(int fd, const std::string& path) {
  if (::fsync(fd) == 0) return {};
  return fail(errno_error(fmt::format("fsync {}", path), errno));
}

Result<void> sync_directory_of(const std::string& path) {
  const std::string directory = std::filesystem::path(path).parent_path().string();
  SEGUE_ASSIGN(const UniqueFd fd,
               open_file(directory.empty() ? "." : directory, O_RDONLY | O_DIRECTORY));
  return sync_to_disk(fd.get(), directory);
}

Result<void> write_new_file(const std::string& path, std::string_view contents, mode_t mode,
                            Durability durability) {
  SEGUE_ASSIGN(const UniqueFd fd, open_file(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, mode));
  SEGUE_TRY(write_all(fd.get(), contents, path));
  if (durability == Durability::buffered) return {};
  return sync_to_disk(fd.get(), path);
}

Result<void> make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return {};
  return fail(errno_error(fmt::format("mkdir {}", path), errno));
}

}  // namespace

Result<std::string> read_file(const std::string& path, std::size_t max_bytes) {
  SEGUE_ASSIGN(const UniqueFd fd, open_file(path, O_RDONLY));
  constexpr std::size_t kStepBytes = 64 * 1024;
  std::string contents;
  std::size_t filled_bytes = 0;
  while (true) {
    // One byte more than allowed: it tells a file that fits from one that does not.
    contents.resize(std::min(filled_bytes + kStepBytes, max_bytes + 1));
    const ssize_t got =
        ::read(fd.get(), contents.data() + filled_bytes, contents.size() - filled_bytes);
    if (got < 0) {
      if (errno == EINTR) continue;
      return fail(errno_error(fmt::format("read {}", path), errno));
    }
    filled_bytes += static_cast<std::size_t>(got);
    if (filled_bytes > max_bytes) {
      return fail(ErrorCode::resource_exhausted, "{} is longer than the {} bytes allowed for it",
                  path, max_bytes);
    }
    if (got == 0) break;
  }
  contents.resize(filled_bytes);
  return contents;
}

Result<void> write_file_atomically(const std::string& path, std::string_view contents, mode_t mode,
                                   Durability durability) {
  const std::string neighbour = fmt::format("{}.{}.new", path, ::getpid());
  Result<void> done = write_new_file(neighbour, contents, mode, durability);
  if (done && std::rename(neighbour.c_str(), path.c_str()) != 0) {
    done = fail(errno_error(fmt::format("rename {} to {}", neighbour, path), errno));
  }
  if (!done) {
    ::unlink(neighbour.c_str());
    return done;
  }
  if (durability == Durability::buffered) return {};
  if (const auto synced = sync_directory_of(path); !synced) {
    return fail(ErrorCode::unknown_outcome,
                "{} was replaced, but may be lost in a power failure: {}", path,
                synced.error().message());
  }
  return {};
}

Result<void> add_file_atomically(const std::string& path, std::string_view contents, mode_t mode) {
  const std::string neighbour = fmt::format("{}.{}.new", path, ::getpid());
  Result<void> done = write_new_file(neighbour, contents, mode, Durability::synced);
  if (done && ::link(neighbour.c_str(), path.c_str()) != 0) {
    done = errno == EEXIST ? fail(ErrorCode::already_exists, "{} exists", path)
                           : fail(errno_error(fmt::format("link {}", path), errno));
  }
  ::unlink(neighbour.c_str());
  SEGUE_TRY(std::move(done));
  return sync_directory_of(path);
}

Result<void> append_to_file(const std::string& path, std::string_view bytes,
                            Durability durability) {
  SEGUE_ASSIGN(const UniqueFd fd, open_file(path, O_WRONLY | O_CREAT | O_APPEND, 0600));
  SEGUE_TRY(write_all(fd.get(), bytes, path));
  if (durability == Durability::buffered) return {};
  SEGUE_TRY(sync_to_disk(fd.get(), path));
  return sync_directory_of(path);  // the file may be new
}

Result<void> ensure_private_directory(const std::string& path) {
  std::filesystem::path prefix;
  for (const auto& part : std::filesystem::path(path)) {
    prefix /= part;
    if (prefix == prefix.root_path()) continue;
    SEGUE_TRY(make_directory(prefix.string()));
  }

  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) {
    return fail(errno_error(fmt::format("stat {}", path), errno));
  }
  if (!S_ISDIR(status.st_mode)) {
    return fail(ErrorCode::failed_precondition,
                "{} is not a directory, and Segue needs a private directory there: remove it",
                path);
  }
  if (status.st_uid != ::geteuid()) {
    return fail(ErrorCode::failed_precondition,
                "{} belongs to user {} and not to user {}: remove it, or choose another directory",
                path, status.st_uid, ::geteuid());
  }
  if ((status.st_mode & 077U) != 0) {
    return fail(ErrorCode::failed_precondition,
                "{} is open to other users (mode {:03o}): run `chmod 700 {}`", path,
                status.st_mode & 0777U, path);
  }
  return {};
}

}  // namespace segue::os
