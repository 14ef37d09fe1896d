// SPDX-License-Identifier: Apache-2.0
#include "number.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace respkv {

std::optional<std::int64_t> parse_integer(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  const bool negative = text.front() == '-';
  const bool padded = text.size() > (negative ? 2U : 1U) && text[negative ? 1 : 0] == '0';
  if (padded || text == "-0") return std::nullopt;
  return number;
}

std::optional<long double> parse_float(std::string_view text) {
  constexpr std::size_t kLongest = 255;
  if (text.empty() || text.size() > kLongest || text.front() == ' ' || text.front() == '\t') {
    return std::nullopt;
  }
  std::array<char, kLongest + 1> copy{};
  text.copy(copy.data(), text.size());
  char* end = nullptr;
  const long double number = std::strtold(copy.data(), &end);
  if (end != copy.data() + text.size() || std::isnan(number)) return std::nullopt;
  return number;
}

std::string format_double(double number) {
  if (std::isinf(number)) return number > 0 ? "inf" : "-inf";
  if (number == std::floor(number) && std::abs(number) < 1e17) return fmt::format("{:.0f}", number);
  return fmt::format("{}", number);
}

std::string format_long_double(long double number) {
  std::array<char, 5200> text{};  // the longest long double has 4,933 digits
  const int size = std::snprintf(text.data(), text.size(), "%.17Lf", number);
  std::string_view digits(text.data(), static_cast<std::size_t>(size));
  while (digits.ends_with('0')) digits.remove_suffix(1);
  if (digits.ends_with('.')) digits.remove_suffix(1);
  return digits == "-0" ? "0" : std::string(digits);
}

}  // namespace respkv
