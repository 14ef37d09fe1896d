// SPDX-License-Identifier: Apache-2.0
#include "fleet/endpoint.h"

#include <arpa/inet.h>

#include "control/options.h"

namespace segue::fleet {

bool is_numeric_address(const std::string& text) {
  in6_addr room{};
  return ::inet_pton(AF_INET, text.c_str(), &room) == 1 ||
         ::inet_pton(AF_INET6, text.c_str(), &room) == 1;
}

bool is_numeric_endpoint(const std::string& text) {
  const auto parsed = control::parse_host_port(text);
  return parsed && is_numeric_address(parsed->host);
}

}  // namespace segue::fleet
