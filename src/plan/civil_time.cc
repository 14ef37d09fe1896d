// SPDX-License-Identifier: Apache-2.0
#include "plan/civil_time.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <utility>

namespace segue::plan {
namespace {

constexpr std::uint32_t kSecondsPerMinute = 60;
constexpr std::uint32_t kSecondsPerHour = 3'600;
constexpr std::uint32_t kSecondsPerDay = 86'400;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

seconds seconds_of(std::uint32_t hours, std::uint32_t minutes, std::uint32_t rest) {
  return seconds(hours * kSecondsPerHour + minutes * kSecondsPerMinute + rest);
}

}  // namespace

bool Scanner::take(std::string_view word) {
  if (!rest_.starts_with(word)) return false;
  rest_.remove_prefix(word.size());
  return true;
}

std::optional<std::uint32_t> Scanner::digits(std::size_t count) {
  if (rest_.size() < count ||
      !std::all_of(rest_.begin(), rest_.begin() + static_cast<std::ptrdiff_t>(count), is_digit)) {
    return std::nullopt;
  }
  std::uint32_t value = 0;
  for (const char c : rest_.substr(0, count))
    value = value * 10 + static_cast<std::uint32_t>(c - '0');
  rest_.remove_prefix(count);
  return value;
}

std::optional<std::uint32_t> Scanner::number(std::size_t max_digits) {
  std::size_t count = 0;
  while (count < rest_.size() && is_digit(rest_[count])) ++count;
  if (count == 0 || count > max_digits) return std::nullopt;
  return digits(count);
}

std::optional<year_month_day> Scanner::date() {
  Scanner ahead = *this;
  const auto year = ahead.digits(4);
  if (!year || !ahead.take("-")) return std::nullopt;
  const auto month = ahead.digits(2);
  if (!month || !ahead.take("-")) return std::nullopt;
  const auto day = ahead.digits(2);
  if (!day) return std::nullopt;
  const year_month_day date{std::chrono::year(static_cast<int>(*year)), std::chrono::month(*month),
                            std::chrono::day(*day)};
  if (!date.ok()) return std::nullopt;
  *this = ahead;
  return date;
}

std::optional<seconds> Scanner::time_of_day(bool may_be_midnight_after) {
  Scanner ahead = *this;
  const auto hours = ahead.digits(2);
  if (!hours || !ahead.take(":")) return std::nullopt;
  const auto minutes = ahead.digits(2);
  if (!minutes || *minutes >= 60) return std::nullopt;
  std::uint32_t rest = 0;
  if (ahead.take(":")) {
    const auto found = ahead.digits(2);
    if (!found || *found >= 60) return std::nullopt;
    rest = *found;
  }
  const seconds time = seconds_of(*hours, *minutes, rest);
  if (time.count() > kSecondsPerDay || (time.count() == kSecondsPerDay && !may_be_midnight_after)) {
    return std::nullopt;
  }
  *this = ahead;
  return time;
}

std::optional<seconds> Scanner::offset() {
  Scanner ahead = *this;
  if (ahead.take("Z") || ahead.take("z")) {
    *this = ahead;
    return seconds(0);
  }
  const bool behind = ahead.take("-");
  if (!behind && !ahead.take("+")) return std::nullopt;
  const auto hours = ahead.digits(2);
  if (!hours || *hours >= 24 || !ahead.take(":")) return std::nullopt;
  const auto minutes = ahead.digits(2);
  if (!minutes || *minutes >= 60) return std::nullopt;
  *this = ahead;
  const seconds offset = seconds_of(*hours, *minutes, 0);
  return behind ? -offset : offset;
}

std::string to_string(LocalTime local) {
  const auto day = std::chrono::floor<std::chrono::days>(local);
  const year_month_day date(day);
  return fmt::format("{:04}-{:02}-{:02} {}", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     time_of_day_text(local - day));
}

std::string offset_text(seconds offset) {
  const auto size = static_cast<std::uint32_t>(std::abs(offset.count()));
  std::string text =
      fmt::format("{}{:02}:{:02}", offset.count() < 0 ? '-' : '+', size / kSecondsPerHour,
                  size % kSecondsPerHour / kSecondsPerMinute);
  if (size % kSecondsPerMinute != 0) text += fmt::format(":{:02}", size % kSecondsPerMinute);
  return text;
}

std::string time_of_day_text(seconds time) {
  const auto size = static_cast<std::uint32_t>(time.count());
  std::string text = fmt::format("{:02}:{:02}", size / kSecondsPerHour,
                                 size % kSecondsPerHour / kSecondsPerMinute);
  if (size % kSecondsPerMinute != 0) text += fmt::format(":{:02}", size % kSecondsPerMinute);
  return text;
}

std::string span_text(seconds span) {
  constexpr std::array<std::pair<std::uint32_t, const char*>, 3> kUnits = {
      {{kSecondsPerDay, "d"}, {kSecondsPerHour, "h"}, {kSecondsPerMinute, "min"}}};
  for (const auto& [size, unit] : kUnits) {
    if (span.count() >= size && span.count() % size == 0) {
      return fmt::format("{} {}", span.count() / size, unit);
    }
  }
  return fmt::format("{} s", span.count());
}

}  // namespace segue::plan
