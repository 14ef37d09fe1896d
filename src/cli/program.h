// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "control/agent_options.h"
#include "control/build_options.h"
#include "control/relay_options.h"
#include "control/server_options.h"

namespace segue::cli {

// What commands stand for that are libraries of this one's layer: the program knows both.
struct Services {
  control::RunAgent agent;
  control::RunBuild build;
  control::RunServer serve;
  control::RunRelay relay;
  control::RunAgentRelay agent_relay;
};

// The whole of `segue`; returns its exit code.
int run_program(int argc, char** argv, const Services& services);

}  // namespace segue::cli
