// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "base/time.h"
#include "load/options.h"
#include "load/results.h"
#include "load/wakeup.h"

namespace segue::load {

// The result of a run as one JSON object. `verification_error` is empty when the writes could be
// read back.
std::string report(const Options& options, const Results& results,
                   const WakeupControl::Result& wakeup, base::MonotonicTime started,
                   base::Duration run_time, std::string_view verification_error);

}  // namespace segue::load
