// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/error.h"
#include "staging/place.h"
#include "staging/sandbox.h"

namespace segue::staging {

// Confines this process, for good, to what the rules allow and rebuilding a tree needs. What the
// kernel cannot do is left out; what it can and does not do is an error.
base::Result<void> confine(const SandboxRules& rules);

// Likewise to what stage() needs: it writes to the place's own folder and to the live tree, as
// files of one may be links to files of the other; it reads the library if that is on this host
// ("file://…"), connects to others by TCP, and forks for run_sandboxed(). The place's other files
// it can read. There are no other threads yet.
base::Result<void> confine_to_staging(const Place& place, const std::string& library_url);

}  // namespace segue::staging
