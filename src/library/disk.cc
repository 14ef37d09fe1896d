// SPDX-License-Identifier: Apache-2.0
#include "library/disk.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>

#include "os/unique_fd.h"

namespace segue::library {
namespace {

using base::errno_error;
using base::fail;
using base::Result;
using delta::ByteView;
using os::UniqueFd;

constexpr mode_t kFileMode = 0644;  // the library is served
constexpr mode_t kDirectoryMode = 0755;

Result<UniqueFd> open_to_write(const std::string& path, int flags) {
  UniqueFd fd(::open(path.c_str(), flags | O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, kFileMode));
  if (!fd) return fail(errno_error(fmt::format("open {}", path), errno));
  return fd;
}

Result<void> write_to(const UniqueFd& fd, const std::string& path, ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return fail(errno_error(fmt::format("write {}", path), errno));
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

// Whoever serves the library is somebody else, whatever the publisher's umask is.
Result<void> let_others_in(const std::string& path) {
  std::error_code problem;
  std::filesystem::permissions(path, std::filesystem::perms(kDirectoryMode),
                               std::filesystem::perm_options::add, problem);
  if (!problem) return {};
  return fail(errno_error(fmt::format("chmod {}", path), problem.value()));
}

}  // namespace

Result<Disk> Disk::open(const std::string& directory, Watch watch) {
  UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return fail(errno_error(fmt::format("open {}", directory), errno));
  return Disk(directory, std::move(fd), std::move(watch));
}

template <class Change>
Result<void> Disk::watched(const char* name, const std::string& path, Change change) const {
  if (watch_) SEGUE_TRY(watch_(name, path, Moment::before));
  SEGUE_TRY(change());
  if (watch_) SEGUE_TRY(watch_(name, path, Moment::after));
  return {};
}

Result<void> Disk::make_directory(const std::string& path) const {
  return watched("mkdir", path, [&]() -> Result<void> {
    if (::mkdir(path.c_str(), kDirectoryMode) == 0) return let_others_in(path);
    // Whoever made it may have been killed before it let others in.
    struct stat status{};
    if (errno == EEXIST && ::stat(path.c_str(), &status) == 0) {
      const bool is_open = (status.st_mode & kDirectoryMode) == kDirectoryMode;
      return is_open || !S_ISDIR(status.st_mode) ? Result<void>() : let_others_in(path);
    }
    return fail(errno_error(fmt::format("mkdir {}", path), errno));
  });
}

Result<void> Disk::write(const std::string& path, ByteView bytes) const {
  return watched("write", path, [&]() -> Result<void> {
    SEGUE_ASSIGN(const UniqueFd fd, open_to_write(path, O_TRUNC));
    if (::fchmod(fd.get(), kFileMode) != 0) {
      return fail(errno_error(fmt::format("chmod {}", path), errno));
    }
    return write_to(fd, path, bytes);
  });
}

Result<void> Disk::append(const std::string& path, ByteView bytes) const {
  return watched("append", path, [&]() -> Result<void> {
    SEGUE_ASSIGN(const UniqueFd fd, open_to_write(path, O_APPEND));
    return write_to(fd, path, bytes);
  });
}

Result<void> Disk::sync_all() const {
  return watched("sync", directory_, [&]() -> Result<void> {
    if (::syncfs(file_system_.get()) == 0) return {};
    return fail(errno_error(fmt::format("sync the file system of {}", directory_), errno));
  });
}

Result<void> Disk::rename(const std::string& from, const std::string& to) const {
  return watched("rename", to, [&]() -> Result<void> {
    if (std::rename(from.c_str(), to.c_str()) == 0) return {};
    return fail(errno_error(fmt::format("rename {} to {}", from, to), errno));
  });
}

Result<void> Disk::remove(const std::string& path) const {
  return watched("remove", path, [&]() -> Result<void> {
    if (::unlink(path.c_str()) == 0 || errno == ENOENT) return {};
    return fail(errno_error(fmt::format("remove {}", path), errno));
  });
}

Result<void> make_library_folder(const std::string& path) {
  std::error_code problem;
  const bool is_new = std::filesystem::create_directories(path, problem);
  if (!problem) return is_new ? let_others_in(path) : Result<void>();
  return fail(errno_error(fmt::format("make the directory {}", path), problem.value()));
}

Result<std::vector<std::string>> list_folder(const std::string& path) {
  std::vector<std::string> names;
  std::error_code problem;
  std::filesystem::directory_iterator at(path, problem);
  for (; !problem && at != std::filesystem::directory_iterator(); at.increment(problem)) {
    names.push_back(at->path().filename().string());
  }
  if (problem && problem != std::errc::no_such_file_or_directory) {
    return fail(errno_error(fmt::format("list {}", path), problem.value()));
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace segue::library
