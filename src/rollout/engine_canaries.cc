// SPDX-License-Identifier: Apache-2.0
// How the stable slots beside a canary are renewed, and how canary slots end: never with
// connections, and also when their rollout is over.
#include "rollout/engine.h"

namespace segue::rollout {

using fleet::kNoRevision;

// ---- The baseline

// It runs what it had before, be it renewed or not.
bool Engine::awaits_wave(const InstanceRecord& record) {
  return record.settled == Settled::untouched ||
         (record.settled == Settled::done && record.assignment.renew);
}

// Who is not well is no baseline, and moves first when its wave comes.
bool Engine::wants_renewal(Index index) const {
  const InstanceRecord& record = records_[index];
  const Live& live = live_[index];
  if (!record.renews || record.left || record.drained || live.silent ||
      head_.phase != Phase::running || head_.step_phase != StepPhase::renewing) {
    return false;
  }
  const bool is_refused =
      record.settled == Settled::refused && record.assignment.renew && live.retry_due;
  return live.standing == Standing::untouched || is_refused;
}

// When the canary slots have started, before the first share.
bool Engine::begins_renewals() const {
  return !renewals_.empty() && !canaries_.empty() && records_[canaries_.front()].step == head_.step;
}

void Engine::begin_renewals() {
  enter_step_phase(StepPhase::renewing);
  for (const Index index : renewals_) {
    if (needs_order(index)) queue(index);
  }
}

bool Engine::renewals_are_done() const {
  const std::size_t open = renewing_[Standing::untouched] + renewing_[Standing::ordered] +
                           renewing_[Standing::retrying] + renewing_[Standing::checking];
  const std::size_t silent = renewing_[Standing::silent] + renewing_[Standing::silent_open];
  return open == 0 &&
         silent <= head_.steps[head_.step].limits.max_silent.as_limit(renewals_.size());
}

void Engine::begin_sharing() {
  head_.share_ppm = head_.steps[head_.step].share_ppm;
  enter_step_phase(StepPhase::sharing);
  order_shares();
}

// ---- The end of canary slots

void Engine::end_idle_canaries() {
  for (const Index index : canaries_) end_if_idle(index);
}

bool Engine::lingers(Index index) const {
  const InstanceRecord& record = records_[index];
  if (record.slot != fleet::Slot::canary || record.left || record.drained) return false;
  const bool is_open = record.settled == Settled::ordered;
  if (record.ended) return is_open;
  return (is_open || is_as_assigned(index)) && record.assignment.revision != kNoRevision;
}

// What an undone rollout never touched is what an earlier one left.
bool Engine::is_as_assigned(Index index) const {
  const InstanceRecord& record = records_[index];
  return record.settled == Settled::done ||
         (record.settled == Settled::untouched && head_.phase == Phase::undone);
}

bool Engine::has_lingering_canaries() const {
  const bool over = head_.phase == Phase::done || head_.phase == Phase::undone;
  if (!over || !head_.strategy.canary.ends_when_idle) return false;
  for (Index i = 0; i < records_.size(); ++i) {
    if (lingers(i)) return true;
  }
  return false;
}

// An end that nobody has heard of is taken back: the newer one begins with slots that it knows.
Changes Engine::let_go(Now now) {
  begin_event(now);
  for (Index i = 0; i < records_.size(); ++i) {
    InstanceRecord& record = records_[i];
    if (!record.ended || !lingers(i)) continue;
    record.ended = false;
    order(i, goal_revision(record), 0);
  }
  return take_changes();
}

// Never with connections: a share of 0 lets no new ones in.
void Engine::end_if_idle(Index index) {
  InstanceRecord& record = records_[index];
  Live& live = live_[index];
  const bool settled_down =
      head_.phase == Phase::watching || head_.phase == Phase::done ||
      head_.phase == Phase::undone ||
      (head_.phase == Phase::undoing && head_.step_phase == StepPhase::settling);
  if (!settled_down || head_.stopped || head_.paused || !head_.strategy.canary.ends_when_idle ||
      record.ended || record.left || record.drained || live.end_refused ||
      record.slot != fleet::Slot::canary || live.silent || !live.heard || live.connections != 0 ||
      live.may_be_sent_to || !is_as_assigned(index) || record.assignment.revision == kNoRevision ||
      record.assignment.share_ppm != 0 || head_.share_ppm != 0) {
    return;
  }
  record.ended = true;
  order(index, kNoRevision, 0);
}

}  // namespace segue::rollout
