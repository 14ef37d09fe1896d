// SPDX-License-Identifier: Apache-2.0
#include "traffic/share.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace segue::traffic {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::uint32_t kPercentPpm = kWholePpm / 100;
constexpr std::size_t kMaxFraction = 4;  // digits behind the point: one millionth
constexpr std::size_t kMaxWhole = 3;
constexpr std::array<std::string_view, 2> kPicks = {"random", "source"};

bool is_digits(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

std::uint32_t number_of(std::string_view digits) {
  std::uint32_t number = 0;
  for (const char c : digits) number = number * 10 + static_cast<std::uint32_t>(c - '0');
  return number;
}

}  // namespace

Result<std::uint32_t> parse_share(std::string_view text) {
  const auto refuse = [&] {
    return fail(ErrorCode::invalid_argument,
                "'{}' is not a share: write one from 0% to 100%, as 10% or 0.1%",
                text.substr(0, 40));
  };
  if (!text.ends_with('%')) return refuse();
  const std::string_view number = text.substr(0, text.size() - 1);
  const std::size_t point = number.find('.');
  const std::string_view whole = number.substr(0, point);
  std::string fraction(point == std::string_view::npos ? "" : number.substr(point + 1));
  if (whole.empty() || whole.size() > kMaxWhole || !is_digits(whole) ||
      (point != std::string_view::npos && fraction.empty()) || fraction.size() > kMaxFraction ||
      !is_digits(fraction)) {
    return refuse();
  }
  fraction.resize(kMaxFraction, '0');
  const std::uint32_t share_ppm = number_of(whole) * kPercentPpm + number_of(fraction);
  if (share_ppm > kWholePpm) return refuse();
  return share_ppm;
}

std::string share_text(std::uint32_t share_ppm) {
  std::string text = fmt::format("{}.{:04}", share_ppm / kPercentPpm, share_ppm % kPercentPpm);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.ends_with('.')) text.pop_back();
  return text + "%";
}

std::string measured_text(std::uint64_t part, std::uint64_t whole) {
  if (whole == 0) return "-";
  return fmt::format("{:.2f}%", 100.0 * static_cast<double>(part) / static_cast<double>(whole));
}

std::string_view to_string(Pick pick) {
  return kPicks.at(static_cast<std::size_t>(pick));
}

Result<Pick> parse_pick(std::string_view text) {
  const auto* const found = std::find(kPicks.begin(), kPicks.end(), text);
  if (found == kPicks.end()) {
    return fail(ErrorCode::invalid_argument, "'{}' is neither random nor source",
                text.substr(0, 40));
  }
  return static_cast<Pick>(found - kPicks.begin());
}

std::uint32_t salt_of(std::uint64_t number) {
  return static_cast<std::uint32_t>(number ^ (number >> 32));
}

}  // namespace segue::traffic
