// SPDX-License-Identifier: Apache-2.0
#include "relay/election.h"

namespace segue::relay {

void Election::answered(std::size_t member, Claim claim, base::MonotonicTime now) {
  members_[member].seen = now;
  members_[member].is_known = true;
  members_[member].claim = claim;
}

void Election::refused(std::size_t member) {
  Member& refusing = members_[member];
  refusing.seen.reset();
  refusing.is_known = refusing.is_known || refusing.has_refused;
  refusing.has_refused = true;
  refusing.claim = {};
}

void Election::distrust(std::size_t member, base::MonotonicTime now) {
  members_[member].distrusted_until = now + kDistrust;
}

bool Election::is_alive(std::size_t member, base::MonotonicTime now) const {
  if (member == self_) return true;
  return members_[member].seen && now - *members_[member].seen < kDeadAfter;
}

bool Election::is_trusted(std::size_t member, base::MonotonicTime now) const {
  const auto& until = members_[member].distrusted_until;
  return member == self_ || !until || now >= *until;
}

std::optional<std::size_t> Election::leader(base::MonotonicTime now) const {
  const auto is_able = [&](std::size_t member) {
    return member == self_ ? is_able_ : members_[member].claim.is_able;
  };
  const auto is_there = [&](std::size_t member) {
    return is_alive(member, now) && is_trusted(member, now);
  };
  bool is_any_able = false;
  for (std::size_t member = 0; member < members_.size(); ++member) {
    is_any_able = is_any_able || (is_there(member) && is_able(member));
  }
  const auto may_lead = [&](std::size_t member) {
    return is_there(member) && (is_able(member) || !is_any_able);
  };
  const bool is_early = now - began_ < kDeadAfter;
  std::optional<std::size_t> first;
  bool knows_all = true;
  for (std::size_t member = 0; member < members_.size(); ++member) {
    if (member != self_ && !members_[member].is_known) knows_all = false;
    if (!may_lead(member)) continue;
    if (!first) first = member;
    // Who is in the middle of it goes on: the line is not to be changed for the order alone.
    const bool is_led =
        member == self_ ? is_busy_ : members_[member].claim.leads && members_[member].claim.is_busy;
    if (is_led) return member;
  }
  if (is_early && !knows_all) return std::nullopt;
  return first;
}

}  // namespace segue::relay
