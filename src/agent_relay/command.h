// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "control/relay_options.h"

namespace segue::agent_relay {

// `segue relay agents`: until SIGTERM or SIGINT.
base::Result<control::RelayEnd> run_command(const control::AgentRelayOptions& options,
                                            const control::SayRelay& say);

}  // namespace segue::agent_relay
