// SPDX-License-Identifier: Apache-2.0
#include "runtime/json_fields.h"

#include <charconv>

namespace segue::runtime {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kShownBytes = 80;

const Json* find(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

tl::unexpected<base::Error> missing_error(const char* name) {
  return fail(ErrorCode::data_loss, "the engine's answer lacks '{}'", name);
}
tl::unexpected<base::Error> type_error(const char* name, const char* type) {
  return fail(ErrorCode::data_loss, "'{}' of the engine's answer is not {}", name, type);
}

Result<Json> parse(std::string_view text) {
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_discarded()) return json;
  return fail(ErrorCode::data_loss, "the engine's answer is not JSON: '{}'",
              text.substr(0, kShownBytes));
}

// The digits at the front of `text`, exactly so many.
std::optional<int> take_digits(std::string_view& text, std::size_t count) {
  int value = 0;
  if (text.size() < count) return std::nullopt;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + count, value);
  if (problem != std::errc() || end != text.data() + count || text.front() == '-') {
    return std::nullopt;
  }
  text.remove_prefix(count);
  return value;
}

bool take(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

std::optional<base::Duration> take_fraction(std::string_view& text) {
  base::Duration fraction{};
  if (!take(text, '.')) return fraction;
  std::int64_t unit = 100'000'000;
  std::size_t digits = 0;
  for (; !text.empty() && text.front() >= '0' && text.front() <= '9'; ++digits) {
    fraction += base::Duration((text.front() - '0') * unit);
    unit /= 10;
    text.remove_prefix(1);
  }
  if (digits == 0) return std::nullopt;
  return fraction;
}

std::optional<std::chrono::minutes> take_offset(std::string_view& text) {
  if (take(text, 'Z')) return std::chrono::minutes(0);
  const bool is_east = take(text, '+');
  if (!is_east && !take(text, '-')) return std::nullopt;
  const auto hours = take_digits(text, 2);
  if (!hours || !take(text, ':')) return std::nullopt;
  const auto minutes = take_digits(text, 2);
  if (!minutes || *hours > 23 || *minutes > 59) return std::nullopt;
  const auto offset = std::chrono::hours(*hours) + std::chrono::minutes(*minutes);
  return is_east ? offset : -offset;
}

std::optional<std::chrono::seconds> take_clock(std::string_view& text) {
  const auto hours = take_digits(text, 2);
  if (!hours || !take(text, ':')) return std::nullopt;
  const auto minutes = take_digits(text, 2);
  if (!minutes || !take(text, ':')) return std::nullopt;
  const auto seconds = take_digits(text, 2);
  if (!seconds || *hours > 23 || *minutes > 59 || *seconds > 60) return std::nullopt;
  return std::chrono::hours(*hours) + std::chrono::minutes(*minutes) +
         std::chrono::seconds(*seconds);
}

std::optional<std::chrono::year_month_day> take_date(std::string_view& text) {
  const auto year = take_digits(text, 4);
  if (!year || !take(text, '-')) return std::nullopt;
  const auto month = take_digits(text, 2);
  if (!month || !take(text, '-')) return std::nullopt;
  const auto day = take_digits(text, 2);
  if (!day) return std::nullopt;
  const std::chrono::year_month_day date(std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day)));
  if (!date.ok()) return std::nullopt;
  return date;
}

}  // namespace

Result<Json> parse_object(std::string_view text) {
  SEGUE_ASSIGN(Json json, parse(text));
  if (json.is_object()) return json;
  return fail(ErrorCode::data_loss, "the engine's answer is no JSON object");
}

Result<Json> parse_list(std::string_view text) {
  SEGUE_ASSIGN(Json json, parse(text));
  if (json.is_array()) return json;
  return fail(ErrorCode::data_loss, "the engine's answer is no JSON list");
}

Result<std::string> text_of(const Json& object, const char* name) {
  const Json* found = find(object, name);
  if (found == nullptr) return missing_error(name);
  if (!found->is_string()) return type_error(name, "text");
  return found->get<std::string>();
}

Result<std::string> text_of(const Json& object, const char* name, std::string_view missing) {
  if (find(object, name) == nullptr) return std::string(missing);
  return text_of(object, name);
}

Result<std::int64_t> integer_of(const Json& object, const char* name) {
  const Json* found = find(object, name);
  if (found == nullptr) return missing_error(name);
  const bool fits = found->is_number_integer() &&
                    (!found->is_number_unsigned() || found->get<std::uint64_t>() <= INT64_MAX);
  if (!fits) return type_error(name, "an integer");
  return found->get<std::int64_t>();
}

Result<std::int64_t> integer_of(const Json& object, const char* name, std::int64_t missing) {
  if (find(object, name) == nullptr) return missing;
  return integer_of(object, name);
}

Result<std::uint64_t> count_of(const Json& object, const char* name, std::uint64_t missing) {
  const Json* found = find(object, name);
  if (found == nullptr) return missing;
  if (!found->is_number_unsigned()) return type_error(name, "a count");
  return found->get<std::uint64_t>();
}

Result<bool> truth_of(const Json& object, const char* name) {
  const Json* found = find(object, name);
  if (found == nullptr) return missing_error(name);
  if (!found->is_boolean()) return type_error(name, "true or false");
  return found->get<bool>();
}

Result<Json> object_of(const Json& object, const char* name) {
  const Json* found = find(object, name);
  if (found == nullptr) return missing_error(name);
  if (!found->is_object()) return type_error(name, "an object");
  return *found;
}

Result<Labels> labels_in(const Json& object, const char* name) {
  Labels labels;
  const Json* found = find(object, name);
  if (found == nullptr) return labels;
  if (!found->is_object()) return type_error(name, "an object");
  for (const auto& [label, value] : found->items()) {
    if (!value.is_string()) return type_error(name, "an object of texts");
    labels.emplace(label, value.get<std::string>());
  }
  return labels;
}

Result<std::vector<std::string>> texts_of(const Json& object, const char* name) {
  std::vector<std::string> texts;
  const Json* found = find(object, name);
  if (found == nullptr) return texts;
  if (!found->is_array()) return type_error(name, "a list");
  for (const Json& text : *found) {
    if (!text.is_string()) return type_error(name, "a list of texts");
    texts.push_back(text.get<std::string>());
  }
  return texts;
}

std::optional<base::RealTime> parse_time(std::string_view text) {
  const auto date = take_date(text);
  if (!date || !take(text, 'T')) return std::nullopt;
  const auto clock = take_clock(text);
  if (!clock) return std::nullopt;
  const auto fraction = take_fraction(text);
  if (!fraction) return std::nullopt;
  const auto offset = take_offset(text);
  if (!offset || !text.empty()) return std::nullopt;
  constexpr std::chrono::year kFirst(1970);
  constexpr std::chrono::year kLast(2200);  // nanoseconds have no more room
  if (date->year() < kFirst || date->year() > kLast) return base::RealTime{};
  const base::RealTime time = std::chrono::sys_days(*date) + *clock - *offset + *fraction;
  return std::max(time, base::RealTime{});
}

Result<base::RealTime> time_of(const Json& object, const char* name) {
  SEGUE_ASSIGN(const std::string text, text_of(object, name));
  const auto time = parse_time(text);
  if (!time) return type_error(name, "a time");
  return *time;
}

}  // namespace segue::runtime
