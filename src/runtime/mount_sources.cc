// SPDX-License-Identifier: Apache-2.0
#include "runtime/mount_sources.h"

#include <sys/stat.h>

#include <cerrno>

#include "os/private_file.h"

namespace segue::runtime {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

Result<void> check_is_there(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) == 0) return {};
  return fail(ErrorCode::failed_precondition, "{} cannot be mounted: {}; make it first", path,
              base::errno_error("look at it", errno).message());
}

}  // namespace

Result<void> check_mount_sources(const ContainerSpec& spec) {
  for (const Mount& mount : spec.mounts) {
    if (const auto* bind = std::get_if<BindMount>(&mount)) SEGUE_TRY(check_is_there(bind->source));
  }
  for (const SecretFile& secret : spec.secrets) SEGUE_TRY(os::check_private_file(secret.source));
  return {};
}

}  // namespace segue::runtime
