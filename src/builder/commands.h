// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/error.h"
#include "control/build_options.h"

namespace segue::builder {

// `segue build …`: see docs/building.md.
base::Result<control::Outcome> run_command(const control::BuildOptions& options,
                                           control::Screen& screen);

// The post-receive hook that tells the builder of `state` of pushes.
std::string hook_text(const std::string& program, const std::string& state,
                      const std::string& repository);

}  // namespace segue::builder
