// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace segue::config {

// The names that a person may have meant, nearest first, at most three.
std::vector<std::string> near_names(std::string_view meant, const std::vector<std::string>& names);

}  // namespace segue::config
