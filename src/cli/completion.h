// SPDX-License-Identifier: Apache-2.0
// Completion scripts from the command line's own description. Pure.
#pragma once

#include <string>

#include "cli/command_text.h"

namespace segue::cli {

std::string bash_completion(const CommandText& program);
std::string zsh_completion(const CommandText& program);
std::string fish_completion(const CommandText& program);

}  // namespace segue::cli
