// SPDX-License-Identifier: Apache-2.0
// When a plan may go live at a site, given its windows and freezes. Pure.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "plan/plan.h"

namespace segue::plan {

// Why a site may not go live now, and from when on that reason is over.
struct Hold {
  enum class Kind { freeze, closed };
  Kind kind = Kind::freeze;
  Instant until{};
  std::string why;  // for a person
};

// nullopt: it may.
base::Result<std::optional<Hold>> hold_at(const Plan& plan, const std::string& zone,
                                          const Zones& zones, Instant now);
// Freezes alone.
base::Result<std::optional<Hold>> freeze_at(const Plan& plan, const std::string& zone,
                                            const Zones& zones, Instant now);

// `from` itself, or the first moment after it that no window and no freeze forbids.
base::Result<Instant> first_allowed(const Plan& plan, const std::string& zone, const Zones& zones,
                                    Instant from);

// When a plan with the policy next_window that has missed `due` goes live instead: after `now`.
base::Result<Instant> after_missed(const Plan& plan, const std::string& zone, const Zones& zones,
                                   Instant due, Instant now);

// That every zone is known, every freeze ends after it begins, and every site's time is allowed;
// failed_precondition names the first moment that is.
base::Result<void> check_schedule(const Plan& plan, const Zones& zones);

// While a component goes live, nothing of it is to be published: who stages then would stage
// something else than what was looked at.
struct PublishingFreeze {
  std::string plan;
  Instant from{};
  Instant to{};
};
PublishingFreeze publishing_freeze_of(const Plan& plan);
// The one among all plans that forbids it now, if any.
std::optional<PublishingFreeze> publishing_freeze(const std::vector<Plan>& plans,
                                                  const std::string& component, Instant now);
// What a person is told of it.
std::string frozen_text(const std::string& component, const PublishingFreeze& freeze);
// The same as an error: failed_precondition.
base::Result<void> check_publishing(const std::vector<Plan>& plans, const std::string& component,
                                    Instant now);

// From then on no host begins it any more, unless it was down for longer than any is taken to be.
Instant over_from(const Plan& plan);
inline constexpr seconds kLongestOutage = std::chrono::days(30);

// By component, the versions that hosts need for plans: those that plans name which are not over,
// and of each site's past plans those of the last two: what runs there, and what was before it.
std::map<std::string, std::set<std::string>> needed_versions(const std::vector<Plan>& plans,
                                                             Instant now);

}  // namespace segue::plan
