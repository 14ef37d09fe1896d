// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace segue::keeper {

// The whole of `segue-keeper`; returns its exit code.
int run_program(int argc, char** argv);

}  // namespace segue::keeper
