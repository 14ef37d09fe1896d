// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "control/options.h"

namespace segue::cli {

// The program as an absolute path, looked for in PATH unless it has a '/'. An error says why it
// cannot be executed.
base::Result<std::string> find_program(const std::string& name, const std::string& directory,
                                       const std::string& path);

// What was typed, as a keeper can start it. `cwd` empty: this process's.
base::Result<control::Launch> make_launch(const std::vector<std::string>& program,
                                          const std::string& cwd,
                                          const std::vector<std::string>& env);

// segue-container and segue-confine, likewise (SEGUE_CONTAINER, SEGUE_CONFINE).
base::Result<std::string> find_container_program();
base::Result<std::string> find_confine_program();

// segue-keeper: named by SEGUE_KEEPER, beside this program, where a build puts it, or in PATH.
base::Result<std::string> find_keeper();

}  // namespace segue::cli
