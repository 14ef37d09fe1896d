// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/error.h"
#include "load/options.h"

namespace segue::load {

// Makes the load that `options` describe and reports on stdout, one JSON object per line:
//   {"event":"running"}      all connections are open, the schedule starts
//   {"event":"probed",...}   every connection of the start has answered the probe, or is gone
//   {"event":"result",...}   the last one
// Commands come on stdin, one per line, words separated by tabs:
//   mark NAME                answers count in the interval NAME from now on
//   probe COMMAND MARKER     see Traffic::begin_probe()
//   restart-wakeup           forget the wake-up control's figures so far
//   stop                     end now; the end of stdin means the same
base::Result<void> run(const Options& options);

}  // namespace segue::load
