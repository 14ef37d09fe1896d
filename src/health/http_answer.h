// SPDX-License-Identifier: Apache-2.0
// As much of HTTP/1.1 (RFC 9112) as asking whether a service is well needs. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace segue::health {

inline constexpr std::size_t kMaxStatusLineBytes = 1'024;

struct HttpTarget {
  std::string address;  // HOST:PORT, as numbers
  std::string path;     // with its query
};
// http://HOST:PORT/PATH; the port may be missing (80).
base::Result<HttpTarget> parse_http_target(std::string_view url);

std::string http_request(const HttpTarget& target);

struct HttpAnswer {
  bool is_whole = false;  // the status line has come, or what came is none
  int status = 0;         // 0: it is no answer of HTTP
};
// `bytes` is all that has come so far.
HttpAnswer parse_http_answer(std::string_view bytes);

}  // namespace segue::health
