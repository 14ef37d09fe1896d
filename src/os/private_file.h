// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/error.h"

namespace segue::os {

// That a file is nobody else's: only its owner may read it, in a directory that only its owner may
// enter. failed_precondition says what is not so.
base::Result<void> check_private_file(const std::string& path);

}  // namespace segue::os
