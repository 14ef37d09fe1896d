// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace segue::cli {

// The whole of `segue`; returns its exit code.
int run_program(int argc, char** argv);

}  // namespace segue::cli
