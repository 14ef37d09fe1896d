// SPDX-License-Identifier: Apache-2.0
// Where the servers of a fleet are reached, as the one that leads tells agents and relays.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace segue::fleet {

inline constexpr std::size_t kMaxServers = 16;
inline constexpr std::size_t kMaxServerAddressBytes = 300;

// HOST:PORT.
bool is_server_address(std::string_view text);

// At most kMaxServers addresses.
std::string write_servers(const std::vector<std::string>& addresses);
// data_loss: damaged, empty, or out of bounds. What a newer version adds is passed over.
base::Result<std::vector<std::string>> read_servers(std::string_view bytes);

}  // namespace segue::fleet
