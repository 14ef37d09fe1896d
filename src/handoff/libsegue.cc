// SPDX-License-Identifier: Apache-2.0
// The shared library has no code of its own: it is the static library `handoff` as a whole.
#include "segue/segue.h"

static_assert(SEGUE_API_VERSION == 1);
