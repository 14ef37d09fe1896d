// SPDX-License-Identifier: Apache-2.0
#include "server/library_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace segue::server {

using base::ErrorCode;
using base::fail;
using base::Result;
using os::UniqueFd;

namespace {

UniqueFd open_beneath(int directory, const std::string& path) {
  struct open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
  return UniqueFd(
      static_cast<int>(::syscall(SYS_openat2, directory, path.c_str(), &how, sizeof how)));
}

}  // namespace

Result<LibraryFiles> LibraryFiles::open(const std::string& directory) {
  UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return fail(base::errno_error(fmt::format("open {}", directory), errno));
  if (!open_beneath(fd.get(), "metadata/timestamp.json")) {
    return fail(ErrorCode::not_found,
                "there is no release library in {}: the first `segue publish` makes one",
                directory);
  }
  return LibraryFiles(std::move(fd));
}

Result<OpenFile> LibraryFiles::find(const fetch::ServedFile& file) const {
  OpenFile found;
  struct stat status{};
  found.fd = open_beneath(directory_.get(), file.path);
  if (!found.fd || ::fstat(found.fd.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return fail(ErrorCode::not_found, "there is no file {}", file.path);
  }
  found.size_bytes = static_cast<std::uint64_t>(status.st_size);
  found.tag = file.is_immutable ? fmt::format("\"{}\"", file.path.substr(file.path.rfind('/') + 1))
                                : fmt::format("\"{:x}-{:x}-{:x}\"", status.st_ino,
                                              status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
  return found;
}

}  // namespace segue::server
