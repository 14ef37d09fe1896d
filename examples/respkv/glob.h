// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

namespace respkv {

// Redis' patterns: * ? [abc] [a-z] [^a] \x. Takes at most |pattern| * |text| steps.
bool glob_matches(std::string_view pattern, std::string_view text);

}  // namespace respkv
