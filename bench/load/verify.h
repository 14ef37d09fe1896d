// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/error.h"
#include "load/connection.h"
#include "load/model.h"
#include "load/results.h"

namespace segue::load {

// Reads every key that was written back over one fresh RESP connection, and counts in `counters`
// what is not as the model says. An error: it could not be read to the end.
base::Result<void> verify_writes(const Route& route, const WriteModel& model, Counters& counters);

}  // namespace segue::load
