// SPDX-License-Identifier: Apache-2.0
#include "library/scratch_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace segue::library {

using base::errno_error;
using base::fail;
using base::Result;
using delta::ByteView;

Result<std::string> scratch_folder() {
  std::error_code problem;
  const std::filesystem::path folder = std::filesystem::temp_directory_path(problem);
  if (!problem) return folder.string();
  return fail(base::ErrorCode::failed_precondition,
              "there is no directory for temporary files: let TMPDIR name one, or make /tmp");
}

Result<os::UniqueFd> unnamed_file(const std::string& folder) {
  os::UniqueFd fd(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (fd) return fd;
  if (errno != EOPNOTSUPP && errno != EISDIR) {
    return fail(errno_error(fmt::format("make a file in {}", folder), errno));
  }
  std::string name = folder + "/tree-XXXXXX";
  fd = os::UniqueFd(::mkostemp(name.data(), O_CLOEXEC));
  if (!fd) return fail(errno_error(fmt::format("make a file in {}", folder), errno));
  ::unlink(name.c_str());
  return fd;
}

Result<void> append_to(int fd, ByteView bytes, const std::string& folder) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0)
      return fail(errno_error(fmt::format("write a tree's bytes in {}", folder), errno));
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

}  // namespace segue::library
