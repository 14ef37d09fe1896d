// SPDX-License-Identifier: Apache-2.0
// The component's state, to go on with in another program or another process.
#include "keeper/component_snapshot.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "keeper/component.h"

namespace segue::keeper {

ComponentSnapshot Decider::snapshot() const {
  ComponentSnapshot snapshot{.phase = phase_,
                             .phase_since = phase_since_,
                             .last_generation = last_generation_,
                             .last_attempt = last_attempt_,
                             .owner = owner_,
                             .service = "",
                             .owner_launch = owner_launch_,
                             .previous = previous_,
                             .restarts_in_row = restarts_in_row_,
                             .instances = {},
                             .attempt = attempt_,
                             .undone = undone_,
                             .closing = {},
                             .sides = {},
                             .deadline = std::nullopt,
                             .stopped_at = std::nullopt};
  for (const auto& [generation, instance] : instances_) snapshot.instances.push_back(instance);
  for (const auto& closing : closing_) {
    if (!closing.answered) snapshot.closing.push_back(closing.attempt);
  }
  return snapshot;
}

void Decider::resume(ComponentSnapshot snapshot, MonotonicTime now) {
  phase_ = Phase::serving;
  phase_since_ = snapshot.phase_since;
  deadline_.reset();
  last_generation_ = std::max(last_generation_, snapshot.last_generation);
  last_attempt_ = snapshot.last_attempt;
  owner_ = snapshot.owner;
  owner_launch_ = std::move(snapshot.owner_launch);
  previous_ = std::move(snapshot.previous);
  while (previous_.size() > kMaxPrevious) previous_.pop_front();
  restarts_in_row_ = snapshot.restarts_in_row;
  for (auto& instance : snapshot.instances) {
    instance.awaits_pong = false;  // whoever was asked before answers nobody
    instances_.insert_or_assign(instance.generation, std::move(instance));
  }
  for (auto& attempt : snapshot.closing) {
    if (attempt.committed) closing_.push_back({std::move(attempt), now + kGoneLimit, false});
  }
  next_ping_ = now;
}

std::string Decider::why_not_at_rest() const {
  if (phase_ != Phase::serving) return busy_text();
  if (queued_) return "another request waits";
  for (const auto& closing : closing_) {
    if (closing.answered) continue;
    return fmt::format("the predecessor of its last upgrade ({}) has not ended yet",
                       closing.attempt.from);
  }
  return "";
}

ComponentSnapshot Component::snapshot() const {
  ComponentSnapshot snapshot = Decider::snapshot();
  snapshot.service = service_;
  return snapshot;
}

void Component::resume(ComponentSnapshot snapshot, MonotonicTime now) {
  service_ = snapshot.service;
  Decider::resume(std::move(snapshot), now);
}

std::string Component::why_not_at_rest() const {
  if (eject_request_ != 0) return "it is being ejected";
  return Decider::why_not_at_rest();
}

}  // namespace segue::keeper
