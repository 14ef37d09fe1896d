// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/error.h"
#include "control/server_options.h"

namespace segue::server {

// `segue server`: until SIGTERM or SIGINT.
base::Result<control::ServerEnd> run_command(const control::ServerOptions& options,
                                             const control::SayServer& say);

}  // namespace segue::server
