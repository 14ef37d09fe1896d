// SPDX-License-Identifier: Apache-2.0
#include "fleet/image_name.h"

#include <algorithm>
#include <cctype>

namespace segue::fleet {
namespace {

using base::ErrorCode;
using base::fail;

constexpr std::size_t kMaxImageBytes = 500;
constexpr std::size_t kMaxTagBytes = 128;
constexpr std::size_t kSha256Digits = 64;
constexpr std::string_view kSha256 = "sha256:";

bool is_lower_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool is_host(std::string_view text) {
  const std::size_t colon = text.find(':');
  const std::string_view port = colon == std::string_view::npos ? "1" : text.substr(colon + 1);
  const std::string_view name = text.substr(0, colon);
  const auto fine = [](unsigned char c) { return std::isalnum(c) != 0 || c == '.' || c == '-'; };
  return !name.empty() && std::ranges::all_of(name, fine) && !port.empty() && port.size() <= 5 &&
         std::ranges::all_of(port, [](unsigned char c) { return std::isdigit(c) != 0; });
}

// Letters and digits, with single separators between them: '.', '_', "__", any number of '-'.
bool is_part(std::string_view text) {
  if (text.empty() || !is_lower_or_digit(text.front()) || !is_lower_or_digit(text.back())) {
    return false;
  }
  for (std::size_t i = 0; i < text.size();) {
    if (is_lower_or_digit(text[i])) {
      ++i;
      continue;
    }
    const std::size_t end = std::min(
        text.size(),
        static_cast<std::size_t>(std::find_if(text.begin() + static_cast<std::ptrdiff_t>(i),
                                              text.end(), is_lower_or_digit) -
                                 text.begin()));
    const std::string_view separator = text.substr(i, end - i);
    if (separator != "." && separator != "_" && separator != "__" &&
        separator.find_first_not_of('-') != std::string_view::npos) {
      return false;
    }
    i = end;
  }
  return true;
}

bool is_tag(std::string_view text) {
  const auto fine = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '.' || c == '-';
  };
  return !text.empty() && text.size() <= kMaxTagBytes && text.front() != '.' &&
         text.front() != '-' && std::ranges::all_of(text, fine);
}

bool is_digest(std::string_view text) {
  if (!text.starts_with(kSha256)) return false;
  text.remove_prefix(kSha256.size());
  return text.size() == kSha256Digits && std::ranges::all_of(text, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

}  // namespace

base::Result<void> check_image_name(std::string_view text) {
  const auto refuse = [whole = text.substr(0, 100)](const char* why) {
    return fail(ErrorCode::invalid_argument, "'{}' is not an image's name: {}", whole, why);
  };
  if (text.empty() || text.size() > kMaxImageBytes) return refuse("1 to 500 bytes");
  if (const std::size_t at = text.find('@'); at != std::string_view::npos) {
    if (!is_digest(text.substr(at + 1))) return refuse("after '@' stands sha256: and 64 digits");
    text = text.substr(0, at);
  }
  const std::size_t last_slash = text.rfind('/');
  const std::size_t colon = text.rfind(':');
  if (colon != std::string_view::npos &&
      (last_slash == std::string_view::npos || colon > last_slash)) {
    if (!is_tag(text.substr(colon + 1))) {
      return refuse("a tag is 1 to 128 letters, digits, '_', '.' and '-'");
    }
    text = text.substr(0, colon);
  }
  const std::size_t slash = text.find('/');
  if (slash != std::string_view::npos) {
    const std::string_view first = text.substr(0, slash);
    if (first == "localhost" || first.find_first_of(".:") != std::string_view::npos) {
      if (!is_host(first)) return refuse("the registry is not HOST or HOST:PORT");
      text.remove_prefix(slash + 1);
    }
  }
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find('/', begin), text.size());
    if (!is_part(text.substr(begin, end - begin))) {
      return refuse("its parts are lower-case letters and digits, with '.', '_' or '-' between");
    }
    begin = end + 1;
  }
  return {};
}

}  // namespace segue::fleet
