// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace segue::level1 {

// The program segue-level1. Returns its exit code: the program's own where that ended by itself, 0
// where it was ended because the service went on elsewhere or was stopped, 1 on failure, 2 on a
// wrong command line.
int run_program(int argc, char** argv);

}  // namespace segue::level1
