// SPDX-License-Identifier: Apache-2.0
#include "plan/time_expression.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace segue::plan {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kMaxZoneBytes = 64;
constexpr std::string_view kExamples =
    "write for instance \"2026-12-01T02:00 Asia/Shanghai\", \"02:00 local\", "
    "\"2026-12-01T02:00:00+08:00\" or \"+30m\"";

std::string shown(std::string_view text) {
  constexpr std::size_t kMaxShown = 60;
  std::string out;
  for (const char c : text.substr(0, kMaxShown)) out += c >= ' ' && c <= '~' ? c : '?';
  return out;
}

tl::unexpected<base::Error> not_a_time(std::string_view text, std::string_view why) {
  return fail(ErrorCode::invalid_argument, "'{}' is not a time: {}; {}", shown(text), why,
              kExamples);
}

Result<TimeExpression> parse_relative(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, std::uint32_t>, 5> kUnits = {
      {{"w", 604'800}, {"d", 86'400}, {"h", 3'600}, {"m", 60}, {"s", 1}}};
  constexpr std::size_t kMaxDigits = 9;
  Scanner scanner(text);
  scanner.take("+");
  TimeExpression expression{.kind = TimeExpression::Kind::relative};
  std::size_t unit = 0;
  do {
    const auto number = scanner.number(kMaxDigits);
    if (!number) return not_a_time(text, "behind the + stand numbers with units, as +1h30m");
    while (unit < kUnits.size() && !scanner.take(kUnits[unit].first)) ++unit;
    if (unit == kUnits.size()) return not_a_time(text, "units are w, d, h, m, s, in this order");
    expression.after += seconds(std::uint64_t{*number} * kUnits[unit].second);
    ++unit;
  } while (!scanner.at_end());
  if (expression.after > kMaxRelative) return not_a_time(text, "that is more than a year");
  return expression;
}

bool in_range(Instant instant) {
  const year_month_day date(std::chrono::floor<std::chrono::days>(instant));
  return static_cast<int>(date.year()) >= kFirstYear && static_cast<int>(date.year()) <= kLastYear;
}

Result<ResolvedTime> checked(ResolvedTime time) {
  if (in_range(time.instant)) return time;
  return fail(ErrorCode::invalid_argument, "a time has to lie in the years from {} to {}",
              kFirstYear, kLastYear);
}

LocalTime local_of(const year_month_day& date, seconds time_of_day) {
  return LocalTime(std::chrono::local_days(date)) + time_of_day;
}

Result<ResolvedTime> resolve_on_clock(const TimeExpression& expression, const Zones& zones,
                                      const std::string& zone, Instant now) {
  if (expression.date) {
    return resolve_local(zones, zone, local_of(*expression.date, expression.time_of_day));
  }
  SEGUE_ASSIGN(const LocalTime local_now, to_local(zones, zone, now));
  auto day = std::chrono::floor<std::chrono::days>(local_now);
  // Where clocks were put over midnight, today's may be the day before by now.
  constexpr int kMaxDays = 4;
  for (int i = 0; i < kMaxDays; ++i, day += std::chrono::days(1)) {
    SEGUE_ASSIGN(const auto found, resolve_local(zones, zone, day + expression.time_of_day));
    if (found.instant > now) return found;
  }
  return fail(ErrorCode::data_loss, "clocks in {} do not get to {} within {} days", zone,
              time_of_day_text(expression.time_of_day), kMaxDays);
}

}  // namespace

Result<void> check_zone_name(std::string_view zone) {
  const auto may_stand = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '/' ||
           c == '_' || c == '-' || c == '+';
  };
  const bool fine = !zone.empty() && zone.size() <= kMaxZoneBytes && zone.front() != '/' &&
                    zone.back() != '/' && std::all_of(zone.begin(), zone.end(), may_stand);
  if (fine) return {};
  return fail(ErrorCode::invalid_argument,
              "'{}' is not the name of a time zone: write it as the tz database does, as "
              "Asia/Shanghai or UTC",
              shown(zone));
}

Result<TimeExpression> parse_time_expression(std::string_view text) {
  if (text.size() > kMaxTimeExpressionBytes) {
    return not_a_time(text, "it is longer than 100 bytes");
  }
  if (text.starts_with('+')) return parse_relative(text);
  Scanner scanner(text);
  TimeExpression expression{.kind = TimeExpression::Kind::on_clock};
  expression.date = scanner.date();
  if (expression.date && !scanner.take("T") && !scanner.take(" ")) {
    return not_a_time(text, "the date is not followed by a time");
  }
  const auto time = scanner.time_of_day();
  if (!time) {
    return not_a_time(text, expression.date ? "the time of day is not HH:MM"
                                            : "it begins with no date and no time of day");
  }
  expression.time_of_day = *time;
  if (scanner.take(" ")) {
    if (scanner.rest() == "local") return expression;
    SEGUE_TRY(check_zone_name(scanner.rest()));
    expression.zone = scanner.rest();
    return expression;
  }
  const auto offset = scanner.offset();
  if (!offset || !scanner.at_end()) {
    return not_a_time(text, "it does not say on whose clocks: end it with a zone or with 'local'");
  }
  if (!expression.date) return not_a_time(text, "a time with an offset needs its date");
  expression.kind = TimeExpression::Kind::instant;
  expression.instant =
      Instant(local_of(*expression.date, expression.time_of_day).time_since_epoch()) - *offset;
  return expression;
}

Result<ResolvedTime> resolve(const TimeExpression& expression, const Zones& zones,
                             const std::string& site_zone, Instant now) {
  switch (expression.kind) {
    case TimeExpression::Kind::instant:
      return checked({expression.instant, LocalKind::once});
    case TimeExpression::Kind::relative:
      return checked({now + expression.after, LocalKind::once});
    case TimeExpression::Kind::on_clock:
      break;
  }
  if (expression.date) {
    const int year = static_cast<int>(expression.date->year());
    if (year < kFirstYear || year > kLastYear) return checked({Instant::min(), LocalKind::once});
  }
  const std::string& zone = expression.zone.empty() ? site_zone : expression.zone;
  SEGUE_ASSIGN(const auto found, resolve_on_clock(expression, zones, zone, now));
  return checked(found);
}

}  // namespace segue::plan
