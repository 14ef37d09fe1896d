// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "plan/zones.h"

namespace segue::plans {

// The time zones of this host (package tzdata), through Howard Hinnant's date library. They are
// read when they are first asked for and kept: a running program does not see new rules.
class SystemZones final : public plan::Zones {
 public:
  [[nodiscard]] base::Result<plan::ZonePeriod> period_at(const std::string& zone,
                                                         plan::Instant instant) const override;
  // Of this host, as /etc/localtime says.
  [[nodiscard]] static base::Result<std::string> own_zone();
};

}  // namespace segue::plans
