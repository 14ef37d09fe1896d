// SPDX-License-Identifier: Apache-2.0
#include "container/program.h"

int main(int argc, char** argv) {
  return segue::container::run_program(argc, argv);
}
