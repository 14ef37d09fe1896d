// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace segue::confine {

// The whole of `segue-confine`; returns only if the program that it is to become was not started.
int run_program(int argc, char** argv);

}  // namespace segue::confine
