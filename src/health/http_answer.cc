// SPDX-License-Identifier: Apache-2.0
#include "health/http_answer.h"

#include <fmt/format.h>

#include <algorithm>

#include "control/options.h"

namespace segue::health {

using base::ErrorCode;
using base::fail;

base::Result<HttpTarget> parse_http_target(std::string_view url) {
  constexpr std::string_view kScheme = "http://";
  const bool visible = std::all_of(url.begin(), url.end(), [](char c) {
    const auto code = static_cast<unsigned char>(c);
    return code > 0x20 && code < 0x7F;
  });
  if (!url.starts_with(kScheme) || !visible || url.size() > kMaxStatusLineBytes) {
    return fail(ErrorCode::invalid_argument, "'{}' is not http://ADDRESS:PORT/PATH",
                url.substr(0, 80));
  }
  const std::string_view rest = url.substr(kScheme.size());
  const auto slash = std::min(rest.find('/'), rest.size());
  HttpTarget target{std::string(rest.substr(0, slash)), std::string(rest.substr(slash))};
  if (target.path.empty()) target.path = "/";
  const auto colon = target.address.rfind(':');
  const bool has_port = colon != std::string::npos && target.address.back() != ']';
  if (!has_port) target.address += ":80";
  SEGUE_TRY(control::parse_host_port(target.address));
  return target;
}

std::string http_request(const HttpTarget& target) {
  return fmt::format(
      "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: segue\r\nConnection: close\r\n\r\n", target.path,
      target.address);
}

HttpAnswer parse_http_answer(std::string_view bytes) {
  constexpr std::string_view kForm = "HTTP/1.x 200";
  constexpr std::string_view kVersion = "HTTP/1.";
  const std::size_t common = std::min(bytes.size(), kVersion.size());
  if (bytes.substr(0, common) != kVersion.substr(0, common)) return {.is_whole = true};
  if (bytes.size() <= kForm.size()) return {};  // one byte more shows where the number ends
  const auto digit = [&](std::size_t i) { return bytes[i] >= '0' && bytes[i] <= '9'; };
  const char after = bytes[kForm.size()];
  const bool fine = digit(7) && bytes[8] == ' ' && digit(9) && digit(10) && digit(11) &&
                    (after == ' ' || after == '\r');
  if (!fine) return {.is_whole = true};
  return {.is_whole = true,
          .status = (bytes[9] - '0') * 100 + (bytes[10] - '0') * 10 + (bytes[11] - '0')};
}

}  // namespace segue::health
