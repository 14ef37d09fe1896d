// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/error.h"
#include "delta/bytes.h"
#include "os/unique_fd.h"

namespace segue::library {

// Where the environment wants files that are there for a while (TMPDIR, else /tmp).
// failed_precondition: that is no directory.
base::Result<std::string> scratch_folder();

// A file below `folder` that has no name, and is gone when it is closed.
base::Result<os::UniqueFd> unnamed_file(const std::string& folder);

// Writes where the file stands; `folder` is for the error.
base::Result<void> append_to(int fd, delta::ByteView bytes, const std::string& folder);

}  // namespace segue::library
