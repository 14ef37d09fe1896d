// SPDX-License-Identifier: Apache-2.0
#include "fleet/join_token.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "fleet/servers.h"

namespace segue::fleet {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::string_view kFormat = "segue-join-1";
constexpr std::size_t kPinDigits = 64;
constexpr std::size_t kMaxDigits = 128;

bool is_hex(std::string_view text) {
  return !text.empty() && text.size() <= kMaxDigits &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// HOST:PORT,HOST:PORT,…
Result<std::vector<std::string>> read_addresses(std::string_view text) {
  std::vector<std::string> addresses;
  for (bool more = true; more;) {
    const auto comma = text.find(',');
    more = comma != std::string_view::npos;
    addresses.emplace_back(text.substr(0, comma));
    if (more) text.remove_prefix(comma + 1);
    if (!is_server_address(addresses.back()) || addresses.size() > kMaxServers) {
      return fail(ErrorCode::invalid_argument, "the token's server is no HOST:PORT: '{}'",
                  addresses.back().substr(0, kMaxServerAddressBytes));
    }
  }
  return addresses;
}

}  // namespace

std::string to_string(const JoinToken& token) {
  return fmt::format("{}.{}.{}.{}@{}", kFormat, token.id, token.secret, token.pin,
                     fmt::join(token.servers, ","));
}

Result<JoinToken> parse_join_token(std::string_view text) {
  const auto at = text.find('@');
  std::array<std::string_view, 4> parts;
  std::string_view rest = text.substr(0, at);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto dot = rest.find('.');
    const bool is_last = i + 1 == parts.size();
    if (at == std::string_view::npos || is_last != (dot == std::string_view::npos)) {
      return fail(ErrorCode::invalid_argument,
                  "the token is not whole: it looks like {}.ID.SECRET.PIN@HOST:PORT", kFormat);
    }
    parts.at(i) = rest.substr(0, dot);
    if (!is_last) rest.remove_prefix(dot + 1);
  }
  if (parts[0] != kFormat) {
    return fail(ErrorCode::invalid_argument, "a token of another kind: it begins with '{}'",
                parts[0].substr(0, 20));
  }
  JoinToken token{std::string(parts[1]), std::string(parts[2]), std::string(parts[3]), {}};
  if (!is_hex(token.id) || !is_hex(token.secret) || !is_hex(token.pin) ||
      token.pin.size() != kPinDigits) {
    return fail(ErrorCode::invalid_argument, "the token is damaged: copy it again, whole");
  }
  SEGUE_ASSIGN(token.servers, read_addresses(text.substr(at + 1)));
  return token;
}

}  // namespace segue::fleet
