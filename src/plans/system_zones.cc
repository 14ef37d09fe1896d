// SPDX-License-Identifier: Apache-2.0
#include "plans/system_zones.h"

#include <date/tz.h>

#include <exception>

#include "plan/time_expression.h"

namespace segue::plans {

using base::ErrorCode;
using base::fail;

base::Result<plan::ZonePeriod> SystemZones::period_at(const std::string& zone,
                                                      plan::Instant instant) const {
  SEGUE_TRY(plan::check_zone_name(zone));
  try {  // the library has no other way to say that it does not know a zone
    const date::sys_info info = date::locate_zone(zone)->get_info(instant);
    return plan::ZonePeriod{info.begin, info.end, info.offset, info.abbrev};
  } catch (const std::exception& error) {
    return fail(ErrorCode::not_found,
                "this host does not know the time zone '{}': look for its name with `timedatectl "
                "list-timezones`, or install the package tzdata ({})",
                zone, error.what());
  }
}

base::Result<std::string> SystemZones::own_zone() {
  try {
    return date::current_zone()->name();
  } catch (const std::exception& error) {
    return fail(ErrorCode::not_found, "this host does not say which time zone it is in ({})",
                error.what());
  }
}

}  // namespace segue::plans
