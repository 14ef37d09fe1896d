// SPDX-License-Identifier: Apache-2.0
// What clocks on the wall show at a place, and what to make of a time that they show twice or
// never.
#pragma once

#include <chrono>
#include <string>

#include "base/error.h"

namespace segue::plan {

using std::chrono::seconds;
using Instant = std::chrono::sys_seconds;      // UTC
using LocalTime = std::chrono::local_seconds;  // of no place until a zone is named

// A time in which a zone's clocks ran without a change: [begins, ends).
struct ZonePeriod {
  Instant begins{};
  Instant ends{};
  seconds offset{};          // local time minus UTC
  std::string abbreviation;  // "CET"
};

// The rules of the world's time zones, by their names in the tz database ("Asia/Shanghai").
class Zones {
 public:
  Zones() = default;
  Zones(const Zones&) = delete;
  Zones& operator=(const Zones&) = delete;
  virtual ~Zones() = default;

  // not_found: no such zone.
  [[nodiscard]] virtual base::Result<ZonePeriod> period_at(const std::string& zone,
                                                           Instant instant) const = 0;
};

enum class LocalKind {
  once,
  skipped,  // clocks were put forward over it: the instant is the moment of that change
  twice,    // clocks are put back to it: the instant is the first of the two
};

struct ResolvedTime {
  Instant instant{};
  LocalKind kind = LocalKind::once;

  friend bool operator==(const ResolvedTime&, const ResolvedTime&) = default;
};

base::Result<ResolvedTime> resolve_local(const Zones& zones, const std::string& zone,
                                         LocalTime local);

base::Result<LocalTime> to_local(const Zones& zones, const std::string& zone, Instant instant);

// "2026-12-01 02:00 CST (+08:00)"; with seconds where there are any.
base::Result<std::string> local_text(const Zones& zones, const std::string& zone, Instant instant);

}  // namespace segue::plan
