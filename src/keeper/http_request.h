// SPDX-License-Identifier: Apache-2.0
// As much of HTTP/1.1 (RFC 9112) as a scrape needs, and nothing more. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace segue::keeper {

inline constexpr std::size_t kMaxHttpRequestBytes = 4'096;

struct HttpRequest {
  enum class State {
    incomplete,  // so far it may become one
    bad,         // malformed, too long, or with a body
    whole,
  };
  State state = State::incomplete;
  bool is_head = false;  // HEAD instead of GET
  bool is_get = false;
  std::string target;  // "/metrics"; without its query
};

// `bytes` is all that has come so far.
HttpRequest parse_http_request(std::string_view bytes);

// The whole answer; the connection is closed after it.
std::string http_response(int status, std::string_view content_type, std::string_view body,
                          bool head_only);

}  // namespace segue::keeper
