// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "control/options.h"

namespace segue::keeper {

struct CommandLine {
  std::string name;
  control::RunOptions run;
  control::ContractOptions contract;
  control::AttemptOptions health;  // only its checks
  control::Launch launch;
  int client_fd = -1;       // whoever asked for the start waits there, connected
  bool foreground = false;  // stay, and let the instances print where this process does
  bool help = false;
  bool adopt = false;       // go on with what a dead keeper has left; start nothing
  int resume_fd = -1;       // a keeper's state (saved_state.h): go on in its place, in this process
  int check_state_fd = -1;  // … only say whether it can be understood
};

// segue-keeper NAME [--KEY=VALUE...] -- PROGRAM ARGUMENT...; without argv[0]. Or, by a keeper that
// is being replaced: segue-keeper NAME --resume-state=FD, segue-keeper --check-state=FD. Or, to
// go on with what a dead keeper has left: segue-keeper NAME --adopt [--client-fd=N].
base::Result<CommandLine> parse_command_line(const std::vector<std::string>& words);

std::string usage_text();

// Where a test lets this process fail: POINT:ACTION.
struct Fault {
  enum class Action { kill, stop, error };
  std::string point;
  Action action = Action::error;
};
base::Result<Fault> parse_fault(const std::string& text);

}  // namespace segue::keeper
