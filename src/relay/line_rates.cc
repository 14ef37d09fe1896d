// SPDX-License-Identifier: Apache-2.0
#include "relay/line_rates.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

namespace segue::relay {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

struct Unit {
  std::string_view name;
  std::uint64_t bits;
};
constexpr std::array<Unit, 4> kUnits = {
    {{"Gbit", 1'000'000'000}, {"Mbit", 1'000'000}, {"kbit", 1'000}, {"bit", 1}}};
constexpr std::uint64_t kMaxBits = 1'000'000'000'000;

}  // namespace

Result<std::uint64_t> parse_rate(std::string_view text) {
  const auto refuse = [&] {
    return fail(ErrorCode::invalid_argument,
                "the rate '{}' has to be a number of bit, kbit, Mbit or Gbit, such as 1Mbit, or 0",
                text.substr(0, plan::kMaxWindowBytes));
  };
  if (text == "0") return 0U;
  std::uint64_t number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem != std::errc()) return refuse();
  const std::string_view rest = text.substr(static_cast<std::size_t>(end - text.data()));
  for (const Unit& unit : kUnits) {
    if (rest != unit.name) continue;
    if (number > kMaxBits / unit.bits || number * unit.bits < 8) return refuse();
    return number * unit.bits / 8;
  }
  return refuse();
}

std::string rate_text(std::uint64_t bytes_per_second) {
  const std::uint64_t bits = bytes_per_second * 8;
  for (const Unit& unit : kUnits) {
    if (bits < unit.bits) continue;
    const double number = static_cast<double>(bits) / static_cast<double>(unit.bits);
    return fmt::format("{:.{}f} {}/s", number, number < 10 && bits % unit.bits != 0 ? 1 : 0,
                       unit.name);
  }
  return "0 bit/s";
}

Result<LineRates> LineRates::parse(const std::vector<std::string>& words) {
  if (words.size() > kMaxLineRates) {
    return fail(ErrorCode::invalid_argument, "--line-rate: at most {}, not {}", kMaxLineRates,
                words.size());
  }
  LineRates rates;
  for (const std::string& word : words) {
    const std::size_t mark = word.rfind('=');
    const std::size_t begin = mark == std::string::npos ? 0 : mark + 1;
    SEGUE_ASSIGN(const std::uint64_t rate, parse_rate(std::string_view(word).substr(begin)));
    if (mark != std::string::npos) {
      SEGUE_ASSIGN(const plan::Window window,
                   plan::parse_window(std::string_view(word).substr(0, mark)));
      rates.rules_.push_back({window, rate});
    } else if (rates.otherwise_) {
      return fail(ErrorCode::invalid_argument, "--line-rate {}: only one can be without a window",
                  word);
    } else {
      rates.otherwise_ = rate;
    }
  }
  return rates;
}

Result<std::optional<std::uint64_t>> LineRates::rate_at(const plan::Zones& zones,
                                                        const std::string& zone,
                                                        plan::Instant now) const {
  for (const Rule& rule : rules_) {
    SEGUE_ASSIGN(const plan::Span span, plan::next_span(rule.window, zones, zone, now));
    if (span.from <= now && now < span.to) return rule.bytes_per_second;
  }
  return otherwise_;
}

}  // namespace segue::relay
