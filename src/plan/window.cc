// SPDX-License-Identifier: Apache-2.0
#include "plan/window.h"

#include <fmt/format.h>

#include <array>
#include <optional>

namespace segue::plan {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using std::chrono::days;

constexpr std::array<std::string_view, 7> kDayNames = {"Sun", "Mon", "Tue", "Wed",
                                                       "Thu", "Fri", "Sat"};
constexpr seconds kDay = days(1);

std::optional<std::size_t> take_day(Scanner& scanner) {
  for (std::size_t day = 0; day < kDayNames.size(); ++day) {
    if (scanner.take(kDayNames[day])) return day;
  }
  return std::nullopt;
}

std::optional<std::bitset<7>> take_days(Scanner& scanner) {
  std::bitset<7> days_of_week;
  if (scanner.take("daily")) return days_of_week.set();
  do {
    const auto first = take_day(scanner);
    if (!first) return std::nullopt;
    auto last = first;
    if (scanner.take("-")) last = take_day(scanner);
    if (!last) return std::nullopt;
    for (std::size_t day = *first;; day = (day + 1) % kDayNames.size()) {
      days_of_week.set(day);
      if (day == *last) break;
    }
  } while (scanner.take(","));
  return days_of_week;
}

std::optional<Window> take_window(Scanner& scanner) {
  const auto days_of_week = take_days(scanner);
  if (!days_of_week || !scanner.take(" ")) return std::nullopt;
  const auto begins = scanner.time_of_day();
  if (!begins || !scanner.take("-")) return std::nullopt;
  const auto ends = scanner.time_of_day(true);
  if (!ends || !scanner.at_end()) return std::nullopt;
  return Window{*days_of_week, *begins, *ends};
}

}  // namespace

Result<Window> parse_window(std::string_view text) {
  Scanner scanner(text);
  const auto window = text.size() <= kMaxWindowBytes ? take_window(scanner) : std::nullopt;
  if (window) return *window;
  return fail(ErrorCode::invalid_argument,
              "a window is written as \"Mon-Fri 01:00-05:00\", \"Sat,Sun 00:00-24:00\" or "
              "\"daily 22:00-02:00\", days as Mon Tue Wed Thu Fri Sat Sun");
}

std::string to_string(const Window& window) {
  std::string names;
  for (std::size_t i = 1; i <= kDayNames.size(); ++i) {
    const std::size_t day = i % kDayNames.size();  // a week begins on Monday
    if (!window.days.test(day)) continue;
    if (!names.empty()) names += ",";
    names += kDayNames[day];
  }
  if (window.days.all()) names = "daily";
  return fmt::format("{} {}-{}", names, time_of_day_text(window.begins),
                     time_of_day_text(window.ends));
}

Result<Span> next_span(const Window& window, const Zones& zones, const std::string& zone,
                       Instant from) {
  SEGUE_ASSIGN(const LocalTime local, to_local(zones, zone, from));
  // From two days before, as a window may go on into the next day and clocks may skip one; two
  // weeks, as one may be skipped.
  auto day = std::chrono::floor<days>(local) - days(2);
  constexpr int kMaxDays = 2 + 15;
  for (int i = 0; i < kMaxDays; ++i, day += days(1)) {
    if (!window.days.test(std::chrono::weekday(day).c_encoding())) continue;
    const seconds ends = window.ends <= window.begins ? window.ends + kDay : window.ends;
    SEGUE_ASSIGN(const auto opens, resolve_local(zones, zone, day + window.begins));
    SEGUE_ASSIGN(const auto closes, resolve_local(zones, zone, day + ends));
    if (opens.instant < closes.instant && closes.instant > from) {
      return Span{opens.instant, closes.instant};
    }
  }
  return fail(ErrorCode::failed_precondition,
              "the window '{}' does not open within two weeks in {}", to_string(window), zone);
}

}  // namespace segue::plan
