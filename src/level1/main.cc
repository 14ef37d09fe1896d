// SPDX-License-Identifier: Apache-2.0
#include "level1/program.h"

int main(int argc, char** argv) {
  return segue::level1::run_program(argc, argv);
}
