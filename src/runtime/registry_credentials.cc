// SPDX-License-Identifier: Apache-2.0
#include "runtime/registry_credentials.h"

#include <algorithm>
#include <array>

#include "runtime/json_fields.h"

namespace segue::runtime {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::string_view kDigits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// RFC 4648, sections 4 and 5.
std::string to_base64url(std::string_view bytes) {
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    const std::size_t size = std::min<std::size_t>(3, bytes.size() - i);
    for (std::size_t k = 0; k < 3; ++k) {
      group = group << 8 | (k < size ? static_cast<unsigned char>(bytes[i + k]) : 0U);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      text += k <= size ? kDigits[group >> (18 - 6 * k) & 0x3F] : '=';
    }
  }
  std::ranges::replace(text, '+', '-');
  std::ranges::replace(text, '/', '_');
  return text;
}

std::optional<std::string> from_base64(std::string_view text) {
  while (text.ends_with('=')) text.remove_suffix(1);
  std::string bytes;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const auto digit = kDigits.find(c);
    if (digit == kDigits.npos) return std::nullopt;
    bits = bits << 6 | static_cast<std::uint32_t>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes += static_cast<char>(bits >> count & 0xFF);
  }
  return bytes;
}

// As the file's names for one registry go: with a scheme or a path, by Docker's history.
std::string host_of(std::string_view name) {
  for (const std::string_view scheme : {"https://", "http://"}) {
    if (name.starts_with(scheme)) name.remove_prefix(scheme.size());
  }
  return std::string(name.substr(0, name.find('/')));
}

bool is_docker_hub(std::string_view host) {
  constexpr std::array kNames{"docker.io", "index.docker.io", "registry-1.docker.io"};
  return std::ranges::find(kNames, host) != kNames.end();
}

}  // namespace

std::string registry_of(std::string_view reference) {
  const auto slash = reference.find('/');
  const std::string_view first = reference.substr(0, slash);
  const bool is_host =
      slash != reference.npos && (first.find_first_of(".:") != first.npos || first == "localhost");
  return is_host ? std::string(first) : "docker.io";
}

Result<std::optional<std::string>> registry_auth(std::string_view file,
                                                 const std::string& registry) {
  const auto wrong = [](std::string_view why) {
    return fail(ErrorCode::invalid_argument, "the file of credentials {}", why);
  };
  const Json json = Json::parse(file, nullptr, false);
  if (!json.is_object()) return wrong("is no JSON object");
  const Json auths = json.value("auths", Json::object());
  if (!auths.is_object()) return wrong("has 'auths' that are no object");
  for (const auto& [name, entry] : auths.items()) {
    const std::string host = host_of(name);
    if (host != registry && !(is_docker_hub(host) && is_docker_hub(registry))) continue;
    const std::string encoded = entry.is_object() ? text_of(entry, "auth", "").value_or("") : "";
    const auto pair = from_base64(encoded);
    const auto colon = pair ? pair->find(':') : std::string::npos;
    if (encoded.empty() || colon == std::string::npos) continue;
    const Json words{{"username", pair->substr(0, colon)},
                     {"password", pair->substr(colon + 1)},
                     {"serveraddress", name}};
    return to_base64url(words.dump(-1, ' ', true, Json::error_handler_t::replace));
  }
  for (const char* helper : {"credsStore", "credHelpers"}) {
    if (!json.contains(helper)) continue;
    return fail(ErrorCode::failed_precondition,
                "the file of credentials leaves those for {} to a program ('{}'): log in to a file "
                "without it",
                registry, helper);
  }
  return std::nullopt;
}

}  // namespace segue::runtime
