// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace segue::container {

// What main() does.
int run_program(int argc, char** argv);

}  // namespace segue::container
