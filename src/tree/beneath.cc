// SPDX-License-Identifier: Apache-2.0
#include "tree/beneath.h"

#include <dirent.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <vector>

#include "tree/listing.h"

namespace segue::tree {
namespace {

using base::fail;
using base::Result;
using os::UniqueFd;

std::int64_t nanoseconds(const timespec& time) {
  return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

Result<void> remove_from(Beneath& beneath, const std::string& path, bool is_directory) {
  SEGUE_ASSIGN(const Beneath::Slot slot, beneath.slot(path));
  if (::unlinkat(slot.directory, slot.name, is_directory ? AT_REMOVEDIR : 0) == 0 ||
      errno == ENOENT) {
    return {};
  }
  return fail(beneath.error("remove", path, errno));
}

// Through its name in /proc, as what may not be read cannot be opened for fchmod(2). Where that
// fails the mode may do as it is.
void make_listable(int fd) {
  static_cast<void>(::chmod(fmt::format("/proc/self/fd/{}", fd).c_str(), 0700));
}

Result<std::vector<std::string>> open_and_list(const Beneath& beneath, const std::string& path) {
  if (path.empty()) {
    make_listable(beneath.root());
  } else {
    SEGUE_ASSIGN(const UniqueFd closed, beneath.open(path, O_PATH | O_DIRECTORY));
    make_listable(closed.get());
  }
  SEGUE_ASSIGN(UniqueFd fd, beneath.open(path, O_RDONLY | O_DIRECTORY));
  return names_in(std::move(fd), beneath, path);
}

}  // namespace

std::string shown(std::string_view path) {
  std::string text;
  for (const char c : path) {
    if (c >= ' ' && c <= '~') {
      text += c;
    } else {
      text += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  return text;
}

FileStamp stamp_of(const struct stat& status) {
  return {.inode = status.st_ino,
          .size_bytes = static_cast<std::uint64_t>(status.st_size),
          .modified_ns = nanoseconds(status.st_mtim),
          .changed_ns = nanoseconds(status.st_ctim)};
}

Result<Beneath> Beneath::open_with(const std::string& directory, int flags) {
  UniqueFd root(::open(directory.c_str(), flags | O_DIRECTORY | O_CLOEXEC));
  if (!root) return fail(base::errno_error("open directory " + shown(directory), errno));
  return Beneath(std::move(root), directory);
}

Result<Beneath> Beneath::open(const std::string& directory) {
  return open_with(directory, O_RDONLY);
}

Result<Beneath> Beneath::open_to_remove(const std::string& directory) {
  return open_with(directory, O_PATH | O_NOFOLLOW);
}

base::Error Beneath::error(std::string_view call, std::string_view path, int error_number) const {
  return base::errno_error(fmt::format("{} {}/{}", call, shown(directory_), shown(path)),
                           error_number);
}

Result<UniqueFd> Beneath::open(const std::string& path, int flags, mode_t mode) const {
  struct open_how how{};
  how.flags = static_cast<unsigned>(flags | O_CLOEXEC | O_NOFOLLOW);
  how.mode = mode;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  const char* name = path.empty() ? "." : path.c_str();
  UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, root_.get(), name, &how, sizeof(how))));
  if (fd) return fd;
  if (errno == EXDEV) {
    return fail(base::ErrorCode::failed_precondition,
                "{}/{}: something is mounted there, and a tree is of one filesystem",
                shown(directory_), shown(path));
  }
  return fail(error("open", path, errno));
}

Result<struct stat> Beneath::status(int fd, std::string_view path) const {
  struct stat status{};
  if (::fstat(fd, &status) != 0) return fail(error("stat", path, errno));
  return status;
}

Result<Beneath::Slot> Beneath::slot(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return Slot{.directory = root_.get(), .name = path.c_str()};
  const std::string_view parent = std::string_view(path).substr(0, slash);
  if (!parent_ || parent_path_ != parent) {
    parent_path_ = parent;
    parent_.reset();
    SEGUE_ASSIGN(parent_, open(parent_path_, O_PATH | O_DIRECTORY));
  }
  return Slot{.directory = parent_.get(), .name = path.c_str() + slash + 1};
}

Result<void> remove_tree(const std::string& directory) {
  auto opened = Beneath::open_to_remove(directory);
  if (!opened && opened.error().code() == base::ErrorCode::not_found) return {};
  SEGUE_ASSIGN(Beneath beneath, std::move(opened));
  std::vector<std::string> directories{""};
  for (std::size_t at = 0; at < directories.size(); ++at) {
    const std::string path = directories[at];
    SEGUE_ASSIGN(const std::vector<std::string> names, open_and_list(beneath, path));
    for (const std::string& name : names) {
      std::string child = path.empty() ? name : path + "/" + name;
      SEGUE_ASSIGN(const Beneath::Slot slot, beneath.slot(child));
      struct stat status{};
      if (::fstatat(slot.directory, slot.name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
        return fail(beneath.error("stat", child, errno));
      }
      if (S_ISDIR(status.st_mode)) {
        directories.push_back(std::move(child));
      } else {
        SEGUE_TRY(remove_from(beneath, child, false));
      }
    }
  }
  for (std::size_t at = directories.size(); at-- > 1;) {
    SEGUE_TRY(remove_from(beneath, directories[at], true));
  }
  if (::rmdir(directory.c_str()) == 0) return {};
  return fail(base::errno_error("remove " + shown(directory), errno));
}

}  // namespace segue::tree
