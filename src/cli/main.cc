// SPDX-License-Identifier: Apache-2.0
#include "agent/command.h"
#include "agent_relay/command.h"
#include "builder/commands.h"
#include "cli/program.h"
#include "relay/command.h"
#include "server/command.h"

int main(int argc, char** argv) {
  return segue::cli::run_program(argc, argv,
                                 {.agent = segue::agent::run_command,
                                  .build = segue::builder::run_command,
                                  .serve = segue::server::run_command,
                                  .relay = segue::relay::run_command,
                                  .agent_relay = segue::agent_relay::run_command});
}
