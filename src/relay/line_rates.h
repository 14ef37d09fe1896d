// SPDX-License-Identifier: Apache-2.0
// How fast a site's line may be used, by the time of day at the site. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "plan/window.h"

namespace segue::relay {

inline constexpr std::size_t kMaxLineRates = 20;

// "1Mbit", "256kbit", "10Gbit", "64000bit", all per second; "0": nothing. In bytes per second.
base::Result<std::uint64_t> parse_rate(std::string_view text);
std::string rate_text(std::uint64_t bytes_per_second);  // 1 Mbit/s, 256 kbit/s

class LineRates {
 public:
  // RATE each, or WINDOW=RATE: "Mon-Fri 08:00-18:00=256kbit". The first window that it is now
  // counts; otherwise the rate that has none; otherwise there is no limit.
  static base::Result<LineRates> parse(const std::vector<std::string>& words);

  // An error is one of the time zone.
  [[nodiscard]] base::Result<std::optional<std::uint64_t>> rate_at(const plan::Zones& zones,
                                                                   const std::string& zone,
                                                                   plan::Instant now) const;

 private:
  struct Rule {
    plan::Window window;
    std::uint64_t bytes_per_second = 0;
  };
  std::vector<Rule> rules_;
  std::optional<std::uint64_t> otherwise_;
};

}  // namespace segue::relay
