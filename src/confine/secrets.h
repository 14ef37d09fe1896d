// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "control/container_options.h"

namespace segue::confine {

// Of all together.
inline constexpr std::size_t kMaxSecretBytes = std::size_t{4} << 20;

// That each file is there and nobody else's, and that this process may show them.
base::Result<void> check_secrets(const std::vector<control::ContainerSecret>& secrets);

// In `folder`, which is made, this process and what it becomes see a file system in memory with the
// secrets as files of mode 0400; nobody else sees them there. It goes with the last process.
base::Result<void> show_secrets(const std::vector<control::ContainerSecret>& secrets,
                                const std::string& folder);

}  // namespace segue::confine
