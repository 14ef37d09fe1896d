// SPDX-License-Identifier: Apache-2.0
// What people paste as a join token. One that is read is written as the same; what is refused says
// why, and does not repeat the secret.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "fleet/join_token.h"

namespace {

// What stands behind the second dot, if it looks like one.
std::string secret_in(const std::string& text) {
  const auto second = text.find('.', text.find('.') + 1);
  if (text.find('.') == std::string::npos || second == std::string::npos) return {};
  const std::string secret =
      text.substr(second + 1, text.find_first_of(".@", second + 1) - second - 1);
  const bool is_there_once = text.find(secret) == text.rfind(secret);
  const bool is_hex = secret.find_first_not_of("0123456789abcdef") == std::string::npos;
  return secret.size() >= 8 && is_hex && is_there_once ? secret : std::string();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace fleet = segue::fleet;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto token = fleet::parse_join_token(text);
  if (token) {
    if (token->servers.empty() || fleet::to_string(*token) != text) std::abort();
    return 0;
  }
  const std::string secret = secret_in(text);
  if (token.error().message().empty()) std::abort();
  if (!secret.empty() && token.error().message().find(secret) != std::string::npos) std::abort();
  return 0;
}
