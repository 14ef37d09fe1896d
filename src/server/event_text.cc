// SPDX-License-Identifier: Apache-2.0
#include "server/event_text.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace segue::server {

nlohmann::json json_of(const FleetEvent& event) {
  return {{"number", event.number}, {"time_ms", event.time_ms}, {"severity", event.severity},
          {"kind", event.kind},     {"object", event.object},   {"host", event.host},
          {"by", event.by},         {"text", event.text}};
}

std::string server_sent(const FleetEvent& event) {
  return fmt::format("id: {}\nevent: {}\ndata: {}\n\n", event.number, event.kind,
                     json_of(event).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace segue::server
