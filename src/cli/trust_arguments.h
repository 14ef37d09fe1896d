// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "cli/arguments.h"

namespace CLI {
class App;
}

namespace segue::cli {

// Makes a command below `parent`; it is to be given its options.
using AddCommand = std::function<CLI::App*(Command command, const std::string& name,
                                           const std::string& text, CLI::App* parent)>;

// `segue key …` and `segue tuf-client …`.
void add_trust_commands(CLI::App& program, Arguments& arguments, const AddCommand& add);

}  // namespace segue::cli
