// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "control/agent_options.h"

namespace segue::agent {

// `segue agent`: until SIGTERM or SIGINT. failed_precondition: another one runs with this state.
base::Result<void> run_command(const control::AgentOptions& options,
                               const control::PrintAnswer& print);

}  // namespace segue::agent
