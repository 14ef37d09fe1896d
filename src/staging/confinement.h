// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/error.h"
#include "staging/sandbox.h"

namespace segue::staging {

// Confines this process, for good, to what the rules allow and rebuilding a tree needs. What the
// kernel cannot do is left out; what it can and does not do is an error.
base::Result<void> confine(const SandboxRules& rules);

}  // namespace segue::staging
