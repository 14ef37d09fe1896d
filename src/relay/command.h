// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/error.h"
#include "control/relay_options.h"

namespace segue::relay {

// `segue relay`: until SIGTERM or SIGINT.
base::Result<control::RelayEnd> run_command(const control::RelayOptions& options,
                                            const control::SayRelay& say);

}  // namespace segue::relay
