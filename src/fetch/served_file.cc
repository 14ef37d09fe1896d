// SPDX-License-Identifier: Apache-2.0
#include "fetch/served_file.h"

#include <algorithm>
#include <charconv>

namespace segue::fetch {
namespace {

constexpr std::string_view kMetadata = "/metadata/";
constexpr std::string_view kObjects = "/objects/";
constexpr std::string_view kJson = ".json";
constexpr std::size_t kDigestDigits = 64;
constexpr std::size_t kMaxNameBytes = 255;

bool is_hex_digit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

// Those of components, which need no encoding, and of versions.
bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

std::optional<std::uint64_t> parse_number(std::string_view text) {
  std::uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [read, problem] = std::from_chars(text.data(), end, number);
  if (text.empty() || problem != std::errc() || read != end) return std::nullopt;
  return number;
}

}  // namespace

std::optional<ServedFile> parse_target(std::string_view target) {
  target = target.substr(0, target.find('?'));
  if (target.starts_with(kMetadata)) {
    const std::string_view name = target.substr(kMetadata.size());
    if (name.size() > kMaxNameBytes || !name.ends_with(kJson) || name.starts_with('.') ||
        !std::ranges::all_of(name, is_name_char)) {
      return std::nullopt;
    }
    const bool is_versioned = name.front() >= '0' && name.front() <= '9';
    return ServedFile{std::string(target.substr(1)), is_versioned};
  }
  if (target.starts_with(kObjects)) {
    const std::string_view rest = target.substr(kObjects.size());
    if (rest.size() != 3 + kDigestDigits || rest[2] != '/') return std::nullopt;
    const std::string_view digits = rest.substr(3);
    if (!std::ranges::all_of(digits, is_hex_digit) || rest.substr(0, 2) != digits.substr(0, 2)) {
      return std::nullopt;
    }
    return ServedFile{std::string(target.substr(1)), true};
  }
  return std::nullopt;
}

RangeAnswer parse_range(std::string_view field, std::uint64_t file_bytes) {
  constexpr std::string_view kUnit = "bytes=";
  const RangeAnswer whole{RangeAnswer::Kind::whole, {0, file_bytes}};
  const RangeAnswer unsatisfiable{RangeAnswer::Kind::unsatisfiable, {}};
  if (!field.starts_with(kUnit)) return whole;
  field.remove_prefix(kUnit.size());
  const std::size_t dash = field.find('-');
  if (dash == std::string_view::npos) return whole;
  const auto first = parse_number(field.substr(0, dash));
  const auto last = parse_number(field.substr(dash + 1));
  if (dash == 0) {  // the last so many
    if (!last) return whole;
    if (*last == 0 || file_bytes == 0) return unsatisfiable;
    const std::uint64_t count = std::min(*last, file_bytes);
    return {RangeAnswer::Kind::part, {file_bytes - count, count}};
  }
  const bool is_open = dash + 1 == field.size();
  if (!first || (!is_open && (!last || *last < *first))) return whole;
  if (*first >= file_bytes) return unsatisfiable;
  const std::uint64_t end = is_open ? file_bytes : std::min(*last, file_bytes - 1) + 1;
  return {RangeAnswer::Kind::part, {*first, end - *first}};
}

}  // namespace segue::fetch
