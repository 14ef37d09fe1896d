// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/error.h"
#include "staging/sandbox.h"

namespace segue::staging {

// Confines this thread, for good. What the kernel cannot do is left out; what it can and does not
// do is an error.
base::Result<void> confine_files(const SandboxRules& rules);
base::Result<void> confine_system_calls();

}  // namespace segue::staging
