// SPDX-License-Identifier: Apache-2.0
#include "control/listen_address.h"

#include <charconv>

namespace segue::control {

base::Result<ListenAddress> parse_listen_address(const std::string& option,
                                                 const std::string& text) {
  const std::size_t colon = text.rfind(':');
  ListenAddress listen;
  const char* end = text.data() + text.size();
  const char* begin = colon == std::string::npos ? end : text.data() + colon + 1;
  const auto [read, problem] = std::from_chars(begin, end, listen.port);
  if (colon == std::string::npos || begin == end || problem != std::errc() || read != end) {
    return base::fail(base::ErrorCode::invalid_argument,
                      "{} {}: write ADDRESS:PORT, such as 0.0.0.0:8080 or [::]:8080", option, text);
  }
  listen.address = text.substr(0, colon);
  if (listen.address.starts_with('[') && listen.address.ends_with(']')) {
    listen.address = listen.address.substr(1, listen.address.size() - 2);
  }
  return listen;
}

}  // namespace segue::control
