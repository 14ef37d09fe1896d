// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/arguments.h"

namespace segue::cli {

// Where limits or secrets are asked for, and no container, the program becomes segue-confine with
// all that it has to know. failed_precondition: this host cannot keep them; nothing was touched.
base::Result<void> expand_confinement(Arguments& arguments);

}  // namespace segue::cli
