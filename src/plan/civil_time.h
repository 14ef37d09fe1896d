// SPDX-License-Identifier: Apache-2.0
// Dates, times of day and spans as people write them. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "plan/zones.h"

namespace segue::plan {

using std::chrono::year_month_day;

// Plans reach from the first of these years to the last: until then the tz database's files list
// every change of the clocks.
inline constexpr int kFirstYear = 2000;
inline constexpr int kLastYear = 2037;

// Takes pieces off the front of a text. Each leaves it as it was if the piece is not there.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  bool take(std::string_view word);
  // Exactly so many digits; or of a number, at least one and at most `max_digits`.
  std::optional<std::uint32_t> digits(std::size_t count);
  std::optional<std::uint32_t> number(std::size_t max_digits);
  std::optional<year_month_day> date();  // 2026-12-01, a day that there is
  // 02:00 or 02:00:30; 24:00 where `may_be_midnight_after`.
  std::optional<seconds> time_of_day(bool may_be_midnight_after = false);
  std::optional<seconds> offset();  // Z, +08:00, -05:30

  [[nodiscard]] bool at_end() const { return rest_.empty(); }
  [[nodiscard]] std::string_view rest() const { return rest_; }

 private:
  std::string_view rest_;
};

std::string to_string(LocalTime local);      // 2026-12-01 02:00, with seconds where there are any
std::string offset_text(seconds offset);     // +08:00
std::string time_of_day_text(seconds time);  // 02:00
std::string span_text(seconds span);         // 90 s, 30 min, 2 h, 3 d

}  // namespace segue::plan
