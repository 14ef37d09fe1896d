// SPDX-License-Identifier: Apache-2.0
#include "analysis/json_object.h"

#include <cmath>
#include <utility>

namespace segue::analysis {

using base::Error;
using base::ErrorCode;
using base::fail;
using base::Result;

Result<JsonObject> JsonObject::parse(std::string_view text, std::string what) {
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) return fail(ErrorCode::data_loss, "{} is not JSON", what);
  return of(std::move(json), std::move(what));
}

Result<JsonObject> JsonObject::of(Json json, std::string what) {
  if (!json.is_object()) return fail(ErrorCode::data_loss, "{} is not an object", what);
  return JsonObject(std::move(json), std::move(what));
}

Error JsonObject::wrong(const char* name, std::string_view expected) const {
  return {ErrorCode::data_loss, fmt::format("'{}' of {} is not {}", name, what_, expected)};
}

Result<Json> JsonObject::take(const char* name) {
  const auto found = rest_.find(name);
  if (found == rest_.end()) return fail(ErrorCode::data_loss, "{} has no '{}'", what_, name);
  Json value = std::move(*found);
  rest_.erase(found);
  return value;
}

Result<JsonObject> JsonObject::object(const char* name) {
  SEGUE_ASSIGN(Json value, take(name));
  return of(std::move(value), fmt::format("'{}' of {}", name, what_));
}

Result<std::string> JsonObject::text(const char* name, std::size_t max_bytes) {
  SEGUE_ASSIGN(const Json value, take(name));
  if (!value.is_string()) return fail(wrong(name, "text"));
  auto text = value.get<std::string>();
  if (text.size() > max_bytes) {
    return fail(wrong(name, fmt::format("text of at most {} bytes", max_bytes)));
  }
  return text;
}

Result<bool> JsonObject::truth(const char* name) {
  SEGUE_ASSIGN(const Json value, take(name));
  if (!value.is_boolean()) return fail(wrong(name, "true or false"));
  return value.get<bool>();
}

Result<std::uint64_t> JsonObject::count(const char* name, std::uint64_t max) {
  SEGUE_ASSIGN(const Json value, take(name));
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > max) {
    return fail(wrong(name, fmt::format("a whole number up to {}", max)));
  }
  return value.get<std::uint64_t>();
}

Result<double> JsonObject::number(const char* name, double min, double max) {
  SEGUE_ASSIGN(const Json value, take(name));
  // What is too large for a double is refused by the parser, or infinite.
  const double number = value.is_number() ? value.get<double>() : std::nan("");
  if (!(number >= min && number <= max)) {
    return fail(wrong(name, fmt::format("a number from {} to {}", min, max)));
  }
  return number;
}

Result<std::vector<double>> JsonObject::numbers(const char* name, std::size_t size, double min,
                                                double max) {
  SEGUE_ASSIGN(const Json list, take(name));
  if (!list.is_array() || list.size() != size) {
    return fail(wrong(name, fmt::format("a list of {}", size)));
  }
  std::vector<double> numbers;
  for (const Json& value : list) {
    const double number = value.is_number() ? value.get<double>() : std::nan("");
    if (!(number >= min && number <= max)) {
      return fail(wrong(name, fmt::format("a list of numbers from {} to {}", min, max)));
    }
    numbers.push_back(number);
  }
  return numbers;
}

Result<void> JsonObject::end() {
  if (rest_.empty()) return {};
  return fail(ErrorCode::data_loss, "{} has '{}', which nobody knows", what_,
              rest_.begin().key().substr(0, 40));
}

std::string one_line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace segue::analysis
