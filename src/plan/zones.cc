// SPDX-License-Identifier: Apache-2.0
#include "plan/zones.h"

#include <fmt/format.h>

#include <vector>

#include "plan/civil_time.h"

namespace segue::plan {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

// No zone was ever further from UTC, nor has one changed more often within two such spans.
constexpr seconds kMaxOffset = std::chrono::hours(27);
constexpr std::size_t kMaxPeriods = 16;

Instant as_if_utc(LocalTime local) {
  return Instant(local.time_since_epoch());
}

Result<std::vector<ZonePeriod>> periods_around(const Zones& zones, const std::string& zone,
                                               Instant middle) {
  std::vector<ZonePeriod> periods;
  for (Instant at = middle - kMaxOffset; at <= middle + kMaxOffset; at = periods.back().ends) {
    if (periods.size() == kMaxPeriods) {
      return fail(ErrorCode::data_loss, "time zone {} changes its clocks {} times within two days",
                  zone, kMaxPeriods);
    }
    SEGUE_ASSIGN(ZonePeriod period, zones.period_at(zone, at));
    if (period.ends <= at) {
      return fail(ErrorCode::data_loss, "time zone {} has a period that ends before it begins",
                  zone);
    }
    periods.push_back(std::move(period));
  }
  return periods;
}

}  // namespace

Result<ResolvedTime> resolve_local(const Zones& zones, const std::string& zone, LocalTime local) {
  const Instant middle = as_if_utc(local);
  SEGUE_ASSIGN(const auto periods, periods_around(zones, zone, middle));
  std::vector<Instant> found;
  for (const auto& period : periods) {
    const Instant candidate = middle - period.offset;
    if (candidate >= period.begins && candidate < period.ends) found.push_back(candidate);
  }
  if (!found.empty()) {
    return ResolvedTime{found.front(), found.size() == 1 ? LocalKind::once : LocalKind::twice};
  }
  for (std::size_t i = 1; i < periods.size(); ++i) {
    const Instant change = periods[i].begins;
    if (middle >= change + periods[i - 1].offset && middle < change + periods[i].offset) {
      return ResolvedTime{change, LocalKind::skipped};
    }
  }
  return fail(ErrorCode::data_loss, "time zone {} has no rule for {}", zone, to_string(local));
}

Result<LocalTime> to_local(const Zones& zones, const std::string& zone, Instant instant) {
  SEGUE_ASSIGN(const ZonePeriod period, zones.period_at(zone, instant));
  return LocalTime((instant + period.offset).time_since_epoch());
}

Result<std::string> local_text(const Zones& zones, const std::string& zone, Instant instant) {
  SEGUE_ASSIGN(const ZonePeriod period, zones.period_at(zone, instant));
  const LocalTime local((instant + period.offset).time_since_epoch());
  const std::string offset = offset_text(period.offset);
  // Zones without an abbreviation of their own have their offset there.
  const bool named = !period.abbreviation.empty() &&
                     period.abbreviation.find_first_of("+-0123456789") == std::string::npos;
  return named ? fmt::format("{} {} ({})", to_string(local), period.abbreviation, offset)
               : fmt::format("{} ({})", to_string(local), offset);
}

}  // namespace segue::plan
