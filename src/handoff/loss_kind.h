// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace segue::handoff {

// Of K_LOSSES: what becomes of something in a program that declares older forms.
enum class LossKind : uint32_t {
  dropped = 1,  // a field that the older form has no place for, and that does not come back
  changed = 2,  // a field that comes back as something else
  kept = 3,     // no loss: the older program does not know the field, and keeps it as it is
  retired = 4,  // the other program does without the whole item
  refused = 5   // the handoff would be refused
};

}  // namespace segue::handoff
