// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace segue::control {

// What every command of `segue` ends with; the same number stands in the keeper's last reply.
enum class ExitCode : int {
  done = 0,
  failed = 1,   // the state may differ: the message says how
  usage = 2,    // the command line is wrong
  undone = 3,   // done, and taken back
  refused = 4,  // nothing was touched
  unknown = 5,  // timed out, or the outcome is not known: look at the status
};

}  // namespace segue::control
