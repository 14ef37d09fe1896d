// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/error.h"
#include "control/server_options.h"

namespace segue::server {

// `segue server` of a fleet: until SIGTERM or SIGINT, or until it cannot go on.
base::Result<control::ServerEnd> run_fleet_server(const control::ServerOptions& options,
                                                  const control::SayServer& say);

}  // namespace segue::server
