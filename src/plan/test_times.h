// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/assert.h"
#include "plan/plan.h"
#include "tuf/metadata.h"

namespace segue::plan {

inline Instant utc(const std::string& text) {
  const auto time = tuf::parse_time(text);
  SEGUE_ASSERT(time.has_value());
  return *time;
}

inline Window window(const std::string& text) {
  const auto parsed = parse_window(text);
  SEGUE_ASSERT(parsed.has_value());
  return *parsed;
}

// Of component "chat", for one site "berlin".
inline Plan plan_for(const std::string& id, const std::string& version, Instant at) {
  Plan plan;
  plan.id = id;
  plan.component = "chat";
  plan.version = version;
  plan.created = utc("2026-11-21T12:00:00Z");
  plan.at = "as it was said";
  plan.sites = {{"berlin", "Europe/Berlin", at}};
  return plan;
}

}  // namespace segue::plan
