// SPDX-License-Identifier: Apache-2.0
#include "keeper/program.h"

int main(int argc, char** argv) {
  return segue::keeper::run_program(argc, argv);
}
