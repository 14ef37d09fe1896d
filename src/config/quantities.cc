// SPDX-License-Identifier: Apache-2.0
#include "config/quantities.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

namespace segue::config {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

// Largest first.
constexpr std::array<Unit, 6> kTimes = {{{"d", 86'400'000'000},
                                         {"h", 3'600'000'000},
                                         {"m", 60'000'000},
                                         {"s", 1'000'000},
                                         {"ms", 1'000},
                                         {"us", 1}}};
constexpr std::array<Unit, 5> kSizes = {{{"TiB", std::uint64_t{1} << 40U},
                                         {"GiB", std::uint64_t{1} << 30U},
                                         {"MiB", std::uint64_t{1} << 20U},
                                         {"KiB", std::uint64_t{1} << 10U},
                                         {"B", 1}}};
constexpr std::uint64_t kMaxTimeUs = 366 * kTimes.front().factor;
constexpr std::uint64_t kMaxSizeBytes = 1024 * kSizes.front().factor;
constexpr std::uint32_t kPpmOfPercent = 10'000;
constexpr std::size_t kMaxDigits = 15;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// The digits that `text` begins with, which it is without afterwards.
std::optional<std::uint64_t> take_number(std::string_view& text) {
  const auto digits =
      static_cast<std::size_t>(std::ranges::find_if_not(text, is_digit) - text.begin());
  if (digits == 0 || digits > kMaxDigits) return std::nullopt;
  std::uint64_t number = 0;
  for (const char c : text.substr(0, digits)) {
    number = number * 10 + static_cast<std::uint64_t>(c - '0');
  }
  text.remove_prefix(digits);
  return number;
}

template <std::size_t count>
std::string in_largest_unit(const std::array<Unit, count>& units, std::uint64_t amount) {
  for (const auto& unit : units) {
    if (amount != 0 && amount % unit.factor == 0) {
      return fmt::format("{}{}", amount / unit.factor, unit.name);
    }
  }
  return "0" + std::string(units.back().name);
}

// "1.25" with `places` digits behind the point at most, as a number of the last place.
std::optional<std::uint64_t> parse_decimal(std::string_view text, int places) {
  auto number = take_number(text);
  if (!number) return std::nullopt;
  const bool has_point = text.starts_with('.');
  if (has_point) text.remove_prefix(1);
  if (has_point == text.empty()) return std::nullopt;
  for (; places > 0; --places) {
    *number *= 10;
    if (text.empty()) continue;
    if (!is_digit(text.front())) return std::nullopt;
    *number += static_cast<std::uint64_t>(text.front() - '0');
    text.remove_prefix(1);
  }
  return text.empty() ? number : std::nullopt;
}

std::string decimal_text(std::uint64_t number, std::uint64_t one, int places) {
  std::string text = fmt::to_string(number / one);
  if (number % one == 0) return text;
  text += fmt::format(".{:0{}}", number % one, places);
  while (text.ends_with('0')) text.pop_back();
  return text;
}

std::string_view shown(std::string_view text) {
  return text.substr(0, 40);
}

}  // namespace

Result<std::uint64_t> parse_time_span_us(std::string_view text) {
  const auto refuse = [whole = shown(text)] {
    return fail(ErrorCode::invalid_argument,
                "'{}' is not a time with its unit, as 500ms, 30s, 5m, 1h30m or 7d", whole);
  };
  if (text.empty()) return refuse();
  std::uint64_t total = 0;
  for (std::size_t largest = 0; !text.empty();) {
    const auto number = take_number(text);
    if (!number) return refuse();
    const auto length =
        static_cast<std::size_t>(std::ranges::find_if(text, is_digit) - text.begin());
    std::size_t unit = largest;
    while (unit < kTimes.size() && kTimes[unit].name != text.substr(0, length)) ++unit;
    if (unit == kTimes.size()) return refuse();
    if (*number > kMaxTimeUs / kTimes[unit].factor) return refuse();
    total += *number * kTimes[unit].factor;
    text.remove_prefix(length);
    largest = unit + 1;
  }
  if (total > kMaxTimeUs) return refuse();
  return total;
}

std::string time_span_text(std::uint64_t time_us) {
  return time_us == 0 ? "0s" : in_largest_unit(kTimes, time_us);
}

Result<std::uint64_t> parse_size_bytes(std::string_view text) {
  const auto refuse = [whole = shown(text)] {
    return fail(ErrorCode::invalid_argument,
                "'{}' is not a size with its unit, as 512MiB: B, KiB, MiB, GiB or TiB", whole);
  };
  const auto number = take_number(text);
  const auto* const unit =
      std::ranges::find_if(kSizes, [&](const Unit& known) { return known.name == text; });
  if (!number || unit == kSizes.end() || *number > kMaxSizeBytes / unit->factor) return refuse();
  return *number * unit->factor;
}

std::string size_text(std::uint64_t bytes) {
  return in_largest_unit(kSizes, bytes);
}

Result<std::uint32_t> parse_percent_ppm(std::string_view text) {
  const auto number = text.ends_with('%') ? parse_decimal(text.substr(0, text.size() - 1), 4)
                                          : std::optional<std::uint64_t>();
  if (number && *number <= std::uint64_t{100} * kPpmOfPercent) {
    return static_cast<std::uint32_t>(*number);
  }
  return fail(ErrorCode::invalid_argument, "'{}' is not a percentage, as 10% or 0.5%", shown(text));
}

Result<std::uint32_t> parse_growth_ppm(std::string_view text) {
  const auto number = text.ends_with('%') ? parse_decimal(text.substr(0, text.size() - 1), 4)
                                          : std::optional<std::uint64_t>();
  if (number && *number <= std::uint64_t{10'000} * kPpmOfPercent) {
    return static_cast<std::uint32_t>(*number);
  }
  return fail(ErrorCode::invalid_argument, "'{}' is not a percentage up to 10000%, as 20% or 150%",
              shown(text));
}

std::string percent_text(std::uint32_t ppm) {
  return decimal_text(ppm, kPpmOfPercent, 4) + "%";
}

Result<std::uint32_t> parse_thousandths(std::string_view text) {
  const auto number = parse_decimal(text, 3);
  if (number && *number <= 1'000'000'000) return static_cast<std::uint32_t>(*number);
  return fail(ErrorCode::invalid_argument, "'{}' is not a number as 2, 1.5 or 0.25", shown(text));
}

std::string thousandths_text(std::uint32_t thousandths) {
  return decimal_text(thousandths, 1'000, 3);
}

}  // namespace segue::config
