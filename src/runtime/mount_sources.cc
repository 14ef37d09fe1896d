// SPDX-License-Identifier: Apache-2.0
#include "runtime/mount_sources.h"

#include <sys/stat.h>

#include <cerrno>

namespace segue::runtime {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr mode_t kOthers = 077;

Result<struct stat> status_of(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) == 0) return status;
  return fail(ErrorCode::failed_precondition, "{} cannot be mounted: {}; make it first", path,
              base::errno_error("look at it", errno).message());
}

Result<void> check_secret(const std::string& path) {
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

}  // namespace

Result<void> check_mount_sources(const ContainerSpec& spec) {
  for (const Mount& mount : spec.mounts) {
    if (const auto* bind = std::get_if<BindMount>(&mount)) SEGUE_TRY(status_of(bind->source));
  }
  for (const SecretFile& secret : spec.secrets) SEGUE_TRY(check_secret(secret.source));
  return {};
}

}  // namespace segue::runtime
