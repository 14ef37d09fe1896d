// SPDX-License-Identifier: Apache-2.0
#include "os/private_file.h"

#include <sys/stat.h>

#include <cerrno>

namespace segue::os {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr mode_t kOthers = 077;

Result<struct stat> status_of(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) == 0) return status;
  return fail(ErrorCode::failed_precondition, "secret {}: {}; make it first", path,
              base::errno_error("look at it", errno).message());
}

}  // namespace

Result<void> check_private_file(const std::string& path) {
  SEGUE_ASSIGN(const struct stat file, status_of(path));
  if (!S_ISREG(file.st_mode) || (file.st_mode & kOthers) != 0) {
    return fail(ErrorCode::failed_precondition,
                "secret {} may be read by others: it has to be a file of mode 0400", path);
  }
  const std::string folder = path.substr(0, path.rfind('/'));
  SEGUE_ASSIGN(const struct stat above, status_of(folder.empty() ? "/" : folder));
  if ((above.st_mode & kOthers) == 0) return {};
  return fail(ErrorCode::failed_precondition,
              "secret {} lies where others may enter: {} has to have mode 0700", path, folder);
}

}  // namespace segue::os
