// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace segue::fleet {

bool is_numeric_address(const std::string& text);
// HOST:PORT or [HOST]:PORT with a numeric host, for whoever asks no name server.
bool is_numeric_endpoint(const std::string& text);

}  // namespace segue::fleet
