// SPDX-License-Identifier: Apache-2.0
#include "confine/program.h"

int main(int argc, char** argv) {
  return segue::confine::run_program(argc, argv);
}
