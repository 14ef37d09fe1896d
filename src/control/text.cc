// SPDX-License-Identifier: Apache-2.0
#include "control/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace segue::control {
namespace {

// Two decimals below 10, one below 1,000, none above.
std::string three_digits(double number, const char* unit) {
  if (number < 9.995) return fmt::format("{:.2f} {}", number, unit);
  if (number < 999.95) return fmt::format("{:.1f} {}", number, unit);
  return fmt::format("{} {}", with_thousands(static_cast<std::uint64_t>(std::llround(number))),
                     unit);
}

}  // namespace

std::string with_thousands(std::uint64_t number) {
  std::string text = fmt::to_string(number);
  for (std::size_t left = text.size(); left > 3; left -= 3) text.insert(left - 3, ",");
  return text;
}

std::string milliseconds_text(std::uint64_t ns) {
  return three_digits(static_cast<double>(ns) / 1e6, "ms");
}

std::string seconds_text(std::uint64_t ns) {
  return three_digits(static_cast<double>(ns) / 1e9, "s");
}

std::string bytes_text(std::uint64_t bytes) {
  constexpr std::array kUnits = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  double amount = static_cast<double>(bytes) / 1024;
  std::size_t unit = 0;
  while (amount >= 1023.95 && unit + 1 < kUnits.size()) {
    amount /= 1024;
    ++unit;
  }
  return fmt::format("{:.1f} {}", amount, kUnits.at(unit));
}

std::string version_text(const std::string& version) {
  const bool is_number = !version.empty() && version.front() >= '0' && version.front() <= '9';
  return is_number ? "v" + version : version;
}

std::string counted(std::uint64_t n, const char* noun) {
  return fmt::format("{} {}{}", with_thousands(n), noun, n == 1 ? "" : "s");
}

std::string some_of(const std::vector<std::string>& names) {
  constexpr std::size_t kMaxNames = 5;
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kMaxNames); ++i) {
    text.append(text.empty() ? "" : ", ").append(names[i]);
  }
  return names.size() > kMaxNames ? text + ", …" : text;
}

}  // namespace segue::control
