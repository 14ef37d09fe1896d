// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "segue/segue.h"

namespace segue::handoff {

// SEGUE_OK if an item of that name may be declared now; else segue_error() says why not.
int check_item(segue_instance* s, const char* name);

}  // namespace segue::handoff
