// SPDX-License-Identifier: Apache-2.0
#include "plans/system_zones.h"

#include <date/tz.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "plan/time_expression.h"

namespace segue::plans {
namespace {

using plan::Instant;
using plan::LocalKind;
using plan::LocalTime;
using plan::seconds;
using std::chrono::days;
using std::chrono::sys_days;
using std::chrono::year;

const Instant kFirst = sys_days(year(2020) / 1 / 1);
const Instant kLast = sys_days(year(2037) / 12 / 31);

// What the library itself makes of the same local time.
plan::ResolvedTime resolved_by_library(const date::time_zone& zone, LocalTime local) {
  const auto info = zone.get_info(date::local_seconds(local.time_since_epoch()));
  const Instant as_utc(local.time_since_epoch());
  switch (info.result) {
    case date::local_info::unique:
      return {as_utc - info.first.offset, LocalKind::once};
    case date::local_info::ambiguous:
      return {as_utc - info.first.offset, LocalKind::twice};
    default:
      return {info.first.end, LocalKind::skipped};
  }
}

TEST(SystemZones, local_times_around_every_change_are_what_the_library_makes_of_them) {
  const SystemZones zones;
  std::size_t changes = 0;
  for (const auto& zone : date::get_tzdb().zones) {
    for (Instant at = kFirst; at < kLast;) {
      const auto period = zones.period_at(zone.name(), at);
      ASSERT_TRUE(period) << period.error().to_string();
      ASSERT_GT(period->ends, at);
      if (period->ends >= kLast) break;
      ++changes;
      for (const int minutes : {-181, -60, -31, -30, -1, 0, 1, 29, 30, 59, 60, 61, 180}) {
        const LocalTime local((period->ends + period->offset).time_since_epoch() +
                              std::chrono::minutes(minutes));
        const auto resolved = plan::resolve_local(zones, zone.name(), local);
        ASSERT_TRUE(resolved) << resolved.error().to_string();
        ASSERT_EQ(*resolved, resolved_by_library(zone, local))
            << zone.name() << " at " << plan::to_string(local);
      }
      at = period->ends;
    }
  }
  EXPECT_GT(changes, 1'000U);
}

TEST(SystemZones, summer_time_goes_on_to_the_last_year_of_plans) {
  const SystemZones zones;
  const auto summer = zones.period_at("Europe/Berlin", sys_days(year(2037) / 7 / 1));
  const auto winter = zones.period_at("Europe/Berlin", sys_days(year(2037) / 12 / 31));
  ASSERT_TRUE(summer && winter);
  EXPECT_EQ(summer->offset, std::chrono::hours(2));
  EXPECT_EQ(winter->offset, std::chrono::hours(1));
}

TEST(SystemZones, a_zone_that_there_is_not_is_an_error_that_names_it) {
  const SystemZones zones;
  for (const std::string name : {"Asia/Atlantis", "", "../passwd", "/etc/localtime", "Asia"}) {
    const auto period = zones.period_at(name, kFirst);
    ASSERT_FALSE(period) << name;
    EXPECT_NE(period.error().message().find("'" + name + "'"), std::string::npos);
  }
}

}  // namespace
}  // namespace segue::plans
