// SPDX-License-Identifier: Apache-2.0
// When a site may go live: windows that come back each week, on the site's own clocks.
#pragma once

#include <bitset>
#include <string>
#include <string_view>

#include "plan/civil_time.h"
#include "plan/zones.h"

namespace segue::plan {

inline constexpr std::size_t kMaxWindowBytes = 100;

// Where an edge of it is skipped by the clocks, it is the moment of their change; where it comes
// twice, the first of the two. A window that is skipped whole does not take place that day.
struct Window {
  std::bitset<7> days;  // on which it begins; 0 is Sunday
  seconds begins{};     // time of day
  seconds ends{};       // at or before `begins`: of the next day; up to 24:00

  friend bool operator==(const Window&, const Window&) = default;
};

// "Mon-Fri 01:00-05:00", "Sat,Sun 00:00-24:00", "Fri-Mon 22:00-02:00", "daily 01:00-05:00"
base::Result<Window> parse_window(std::string_view text);
std::string to_string(const Window& window);

struct Span {  // [from, to)
  Instant from{};
  Instant to{};

  friend bool operator==(const Span&, const Span&) = default;
};

// The one that `from` lies in, otherwise the first that begins after it.
base::Result<Span> next_span(const Window& window, const Zones& zones, const std::string& zone,
                             Instant from);

}  // namespace segue::plan
