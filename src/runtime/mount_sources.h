// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/error.h"
#include "runtime/container_spec.h"

namespace segue::runtime {

// That what a spec mounts from this host is there: Podman makes an empty directory of a source that
// is missing, Docker refuses it. And that its secrets are nobody else's: files that only their
// owner may read, in directories that only theirs may enter. failed_precondition says which is not.
base::Result<void> check_mount_sources(const ContainerSpec& spec);

}  // namespace segue::runtime
