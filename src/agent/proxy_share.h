// SPDX-License-Identifier: Apache-2.0
// Between what a fleet wants of a proxy and what HAProxy is told and says. Pure.
#pragma once

#include <string>

#include "fleet/proxy_share.h"
#include "traffic/haproxy_control.h"
#include "traffic/haproxy_meter.h"

namespace segue::agent {

// Canaries with a share serve; the others get nothing new and keep what they have. Servers that are
// not named are stable.
traffic::ProxyWanted wanted_of(const fleet::ProxyShare& share);

// What a look came to; `now`: as it is after what was done.
struct ProxyLook {
  traffic::ProxyReport report;
  traffic::ProxySeen now;
};
fleet::SeenShare seen_of(const fleet::ProxyShare& share, const base::Result<ProxyLook>& look,
                         const traffic::MovedShare& moved);

// Whether it is worth telling at once; what only counts is told now and then.
bool says_more(const fleet::SeenShare& told, const fleet::SeenShare& now);

}  // namespace segue::agent
