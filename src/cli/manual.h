// SPDX-License-Identifier: Apache-2.0
// Manual pages (man(7)) from the command line's own description. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/command_text.h"

namespace segue::cli {

// The pages there are: "segue", "segue-run", …
std::vector<std::string> page_names(const CommandText& program);

// nullopt: there is no such page.
std::optional<std::string> manual_page(const CommandText& program, const std::string& page,
                                       const std::string& version);

}  // namespace segue::cli
