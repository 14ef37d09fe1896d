// SPDX-License-Identifier: Apache-2.0
#include "tuf/fields.h"

#include <fmt/format.h>

#include <limits>

namespace segue::tuf {

using base::Error;
using base::ErrorCode;
using base::fail;
using base::Result;

Result<Fields> Fields::of(Json json, std::string what) {
  if (!json.is_object()) return fail(ErrorCode::data_loss, "{} is not an object", what);
  return Fields(std::move(json), std::move(what));
}

Error Fields::wrong(const std::string& name, const char* expected) const {
  return {ErrorCode::data_loss, fmt::format("'{}' of {} is not {}", name, what_, expected)};
}

Result<Json> Fields::take(const std::string& name) {
  if (!rest_.contains(name)) return fail(ErrorCode::data_loss, "{} has no '{}'", what_, name);
  return take_if_any(name);
}

Json Fields::take_if_any(const std::string& name) {
  const auto found = rest_.find(name);
  if (found == rest_.end()) return {};
  Json value = std::move(*found);
  rest_.erase(found);
  return value;
}

Result<Fields> Fields::object(const std::string& name) {
  SEGUE_ASSIGN(Json json, take(name));
  return of(std::move(json), fmt::format("'{}' of {}", name, what_));
}

Result<std::string> Fields::string(const std::string& name) {
  SEGUE_ASSIGN(const Json json, take(name));
  if (!json.is_string()) return fail(wrong(name, "a string"));
  return json.get<std::string>();
}

Result<std::uint64_t> Fields::number(const std::string& name, std::uint64_t min) {
  SEGUE_ASSIGN(const Json json, take(name));
  return number_of(json, name, min);
}

Result<std::optional<std::uint64_t>> Fields::number_if_any(const std::string& name) {
  if (!rest_.contains(name)) return std::nullopt;
  return number_of(take_if_any(name), name, 0);
}

Result<std::uint64_t> Fields::number_of(const Json& json, const std::string& name,
                                        std::uint64_t min) {
  if (!json.is_number_unsigned()) return fail(wrong(name, "a whole number"));
  const auto number = json.get<std::uint64_t>();
  // Larger ones are no integers for other programs.
  if (number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
    return fail(wrong(name, "a number below 2^63"));
  }
  if (number < min) return fail(wrong(name, "at least 1"));
  return number;
}

Result<std::optional<bool>> Fields::boolean_if_any(const std::string& name) {
  if (!rest_.contains(name)) return std::nullopt;
  const Json json = take_if_any(name);
  if (!json.is_boolean()) return fail(wrong(name, "true or false"));
  return json.get<bool>();
}

Result<std::vector<std::string>> Fields::strings(const std::string& name) {
  SEGUE_ASSIGN(const Json json, take(name));
  return strings_of(json, name);
}

Result<std::optional<std::vector<std::string>>> Fields::strings_if_any(const std::string& name) {
  if (!rest_.contains(name)) return std::nullopt;
  SEGUE_ASSIGN(auto strings, strings_of(take_if_any(name), name));
  return strings;
}

Result<std::vector<std::string>> Fields::strings_of(const Json& json, const std::string& name) {
  if (!json.is_array()) return fail(wrong(name, "a list"));
  std::vector<std::string> strings;
  strings.reserve(json.size());
  for (const auto& member : json) {
    if (!member.is_string()) return fail(wrong(name, "a list of strings"));
    strings.push_back(member.get<std::string>());
  }
  return strings;
}

}  // namespace segue::tuf
