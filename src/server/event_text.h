// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "server/event_log.h"

namespace segue::server {

nlohmann::json json_of(const FleetEvent& event);
// As a server-sent event.
std::string server_sent(const FleetEvent& event);

}  // namespace segue::server
