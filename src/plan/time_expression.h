// SPDX-License-Identifier: Apache-2.0
// When something is to happen, as people write it:
//   2026-12-01T02:00 Asia/Shanghai   on the clocks of a zone
//   2026-12-01T02:00 local           on each site's own clocks
//   02:00 local, 02:00 Europe/Paris  the next time that they show it
//   2026-12-01T02:00:00+08:00, …Z    RFC 3339, without fractions of a second
//   +30m, +1h30m, +2d                from now on; w d h m s
// Between date and time a blank may stand instead of the T.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "plan/civil_time.h"
#include "plan/zones.h"

namespace segue::plan {

inline constexpr std::size_t kMaxTimeExpressionBytes = 100;
inline constexpr seconds kMaxRelative = std::chrono::days(366);

struct TimeExpression {
  enum class Kind {
    instant,   // the same moment everywhere
    on_clock,  // what clocks show
    relative,
  };
  Kind kind = Kind::instant;
  Instant instant{};
  std::optional<year_month_day> date;  // on_clock: without one, the next time it is shown
  seconds time_of_day{};
  std::string zone;  // empty: each site's own
  seconds after{};
};

// invalid_argument shows what would be right.
base::Result<TimeExpression> parse_time_expression(std::string_view text);

// A name that can be looked up in the tz database, whether or not it is there.
base::Result<void> check_zone_name(std::string_view zone);

// For a site whose clocks run as `site_zone` says. A time without a date is the next one after
// `now`, never `now` itself. invalid_argument: outside of the years that plans reach.
base::Result<ResolvedTime> resolve(const TimeExpression& expression, const Zones& zones,
                                   const std::string& site_zone, Instant now);

}  // namespace segue::plan
