// SPDX-License-Identifier: Apache-2.0
// The predecessor from the freeze on: offering, taking back, fencing, committing.
#include <algorithm>

#include "handoff/clock.h"
#include "handoff/fault.h"
#include "handoff/peer.h"
#include "handoff/predecessor.h"

namespace segue::handoff {
namespace {

constexpr uint64_t kMarginOfBudget = 5;  // a fifth
// A dead process's pidfd becomes readable when it has been torn down; a large one takes a while.
constexpr uint64_t kFenceNs = 30'000 * kMillisecond;
constexpr uint64_t kAskToFenceNs = 2'000 * kMillisecond;
// That a keeper has, or the next one, to end a successor that this process cannot end.
constexpr uint64_t kFenceLimitNs = 600'000 * kMillisecond;
// However small the budget is, a successor has so long to give resources up again.
constexpr uint64_t kShortestYieldNs = 5 * kMillisecond;

}  // namespace

// ---- Foreground ----------------------------------------------------------------------------

void Predecessor::freeze() {
  frozen_since_ = drained_since_;
  Status held = gather_loops();
  if (held.ok() && host_.inventory().operations.in_flight()) {
    held = Status::bad(SEGUE_STATE, still_in_flight());
    host_.inventory().loops.give_all_back();
  }
  if (!held.ok()) {
    segue_progress& progress = host_.progress();
    progress.frozen_max_ns = std::max(progress.frozen_max_ns, monotonic_ns() - frozen_since_);
    frozen_since_ = 0;
    return retry_when_loops_are_back(held.text);
  }
  const bool willing = host_.freeze();
  host_.progress().phase = SEGUE_PHASE_FOREGROUND;
  Status status = Status::good();
  if (!willing) {
    status = Status::bad(SEGUE_STATE, "the service cannot freeze now");
  } else if (fault("predecessor", "foreground")) {
    status = Status::bad(SEGUE_STATE, "injected error in foreground");
  } else if (host_.has_release()) {
    released_ = true;
    if (!host_.release())
      status = Status::bad(SEGUE_STATE, "the service cannot release a resource");
  }
  if (status.ok()) status = offer();
  if (status.ok()) {
    state_ = State::offered;
    deadline_ = offer_deadline();
    host_.report(AttemptRole::predecessor, terms_.attempt, KeeperEvent::frozen, freezes_, {});
    if (fault("predecessor", "offered")) withdraw_at_deadline("injected error in offered");
    return;
  }
  if (!take_back(SEGUE_RESUME_LATE)) {
    host_.terminate(SEGUE_END_COMMITTED);  // somebody else owns the service
    return finish();
  }
  if (status.code != SEGUE_TIMEOUT && status.code != SEGUE_STATE) return fail_sending(status);
  next_round_or_give_up(status.text);
}

// Short of the budget, as the successor may lose the processor between the last look at the clock
// and being active.
uint64_t Predecessor::offer_deadline() const {
  return frozen_since_ + terms_.budget_ns - terms_.budget_ns / kMarginOfBudget;
}

Status Predecessor::offer() {
  sender_.begin_round();
  const uint64_t deadline = offer_deadline();
  if (Status status = sender_.advance_all(deadline); !status.ok()) return status;
  for (const auto& heap : host_.inventory().heaps) {
    if (heap->way == HeapWay::mapped) heap->note_freeze();
  }
  // Before FINAL: the successor can act on FINAL at once, and without it it cannot act at all.
  if (!host_.page().offer(epoch_, host_.me())) {
    return Status::bad(SEGUE_STATE, "this process does not own the service any more");
  }
  segue_writer out;
  put_number(out, 1, epoch_);
  put_number(out, 2, frozen_since_);
  put_number(out, 3, deadline);
  put_number(out, 4, sender_.records());
  put_number(out, 5, sender_.descriptors());
  put_number(out, 6, host_.inventory().connections.generation());
  return link_.send(FrameType::final, out.fields);
}

// The epoch rises, so nothing that was offered can be taken any more.
bool Predecessor::withdraw() {
  if (!host_.page().withdraw(epoch_, host_.me())) return false;
  ++epoch_;
  segue_writer out;
  put_number(out, 1, epoch_);
  put_number(out, 2, monotonic_ns() - frozen_since_);
  send(FrameType::withdrawn, out.fields);
  return true;
}

bool Predecessor::take_back(segue_resume_reason reason) {
  if (!withdraw()) return false;
  thaw(reason);
  return true;
}

void Predecessor::thaw(segue_resume_reason reason) {
  const uint64_t frozen = monotonic_ns() - frozen_since_;
  segue_progress& progress = host_.progress();
  progress.frozen_max_ns = std::max(progress.frozen_max_ns, frozen);
  // Learn from it, but let one stall of the host not forbid every further attempt.
  fixed_ns_ = std::min(terms_.budget_ns / 2, (fixed_ns_ + frozen) / 2);
  frozen_since_ = 0;
  host_.resume(reason, std::exchange(released_, false));
  host_.inventory().operations.go_on();
  set_phase(SEGUE_PHASE_BACKGROUND);
  // To a keeper, which may be older, it is the same: the successor served and is dead.
  const bool replayed = reason == SEGUE_RESUME_REPLAYED;
  const bool from_arenas = reason == SEGUE_RESUME_FROM_ARENAS;
  const uint64_t told = replayed || from_arenas ? SEGUE_RESUME_RECLAIMED : reason;
  host_.report(AttemptRole::predecessor, terms_.attempt, KeeperEvent::resumed, told,
               replayed      ? "replayed"
               : from_arenas ? "arenas"
                             : "");
}

void Predecessor::note_activation(std::string_view payload) {
  state_ = State::probation;
  host_.progress().blackout_ns = get_number(payload, 2, 0);
  set_phase(SEGUE_PHASE_PROBATION);
  wait_until(terms_.hang_ns);
  offer_room();
}

void Predecessor::on_activated(std::string_view payload) {
  if (host_.page().look().owner == host_.me()) {
    return lose_successor("the successor broke the protocol: it says that it is active and is not");
  }
  note_activation(payload);
  if (fault("predecessor", "probation")) {
    // This process has nothing left to offer; the successor serves.
    host_.terminate(SEGUE_END_COMMITTED);
    finish();
  }
}

void Predecessor::on_decline(std::string_view payload) {
  const auto code = static_cast<DeclineCode>(get_number(payload, 1, 0));
  const std::string why(get_bytes(payload, 2));
  const bool late = code == DeclineCode::late;
  if (state_ == State::offered && !withdraw()) {
    return lose_successor("the successor declined what it had taken");
  }
  // It has given up whatever it had acquired: this process may have it back.
  if (frozen()) thaw(late ? SEGUE_RESUME_LATE : SEGUE_RESUME_DECLINED);
  if (!abort_why_.empty()) return fail(abort_why_);
  if (late) return next_round_or_give_up("the successor could not be active within the budget");
  fail("the successor declined: " + why);
}

void Predecessor::on_time(uint64_t now) {
  if (awaited_loop_ != kInstanceThread && now >= loop_deadline_) {
    return fail("loop " + host_.inventory().loops.name(awaited_loop_) +
                " has not come to its request boundary for " +
                std::to_string(terms_.answer_ns / kMillisecond) + " ms");
  }
  if (now < deadline_) return;
  const uint64_t late_ns = now - deadline_;
  deadline_ = kNever;
  switch (state_) {
    case State::hello:
    case State::ready:
    case State::round:
      return fail("the successor did not answer in time");
    case State::sending:
      return fail("the background phase did not end in time");
    case State::digests:
    case State::rehearsal:
      return fail("the rehearsal did not end in time");
    case State::offered:
      return withdraw_at_deadline("the successor was not active within the budget");
    case State::taken_back:
      return fence("the successor hangs");
    case State::pausing:
      return end_pause(now);
    case State::draining:
      return retry_when_loops_are_back(still_in_flight());
    case State::probation:
      // If this process was not running either, the successor may be as healthy as it is.
      if (late_ns > terms_.hang_ns / 8) return wait_until(terms_.hang_ns);
      return fence("the successor hangs in probation");
    case State::fencing:
      // Look again rather than serve twice: only the kernel keeps it, or a third instance that was
      // offered the service has had its chance.
      wait_until(fence_interval());
      if (is_dead(pidfd_.get())) return reclaim(true);
      if (!can_end(pidfd_.get())) ask_to_fence_again(now);
      return;
    case State::over:
      return;
  }
}

void Predecessor::withdraw_at_deadline(const std::string& why) {
  if (!withdraw()) {
    // It won the race at the last moment.
    state_ = State::probation;
    set_phase(SEGUE_PHASE_PROBATION);
    return wait_until(terms_.hang_ns);
  }
  state_ = State::taken_back;
  why_ = why;
  if (!released_) {
    thaw(SEGUE_RESUME_LATE);
    return wait_until(terms_.answer_ns);
  }
  // The successor may hold what this process needs back. It answers FINAL with DECLINE, having
  // yielded; if it does not soon, it is ended, and its death gives the resources back.
  wait_until(std::max(terms_.budget_ns, kShortestYieldNs));
}

// ---- Losing the successor ------------------------------------------------------------------

void Predecessor::on_death() {
  if (!is_dead(pidfd_.get())) return;
  successor_dead_ = true;
  if (state_ != State::fencing) on_link();  // what it said before it died counts
  if (state_ == State::over) return;
  lose_successor("the successor died");
}

void Predecessor::lose_successor(const std::string& why) {
  link_lost_ = true;
  switch (state_) {
    case State::offered:
      if (withdraw() && !released_) {
        thaw(SEGUE_RESUME_ABORTED);
        return fail(why);
      }
      return fence(why);
    case State::taken_back:
    case State::probation:
    case State::fencing:
      return fence(why);
    default:
      return fail(why);
  }
}

void Predecessor::fence(const std::string& why) {
  const Status killed = host_.end_peer(terms_, pidfd_.get(), terms_.successor);
  if (!frozen()) return fail(why);
  if (!killed.ok() && state_ == State::probation && !link_lost_) return wait_until(terms_.hang_ns);
  if (state_ != State::fencing) {
    state_ = State::fencing;
    why_ = why;
    wait_until(fence_interval());
    fence_limit_ns_ = monotonic_ns() + kFenceLimitNs;
  }
  if (is_dead(pidfd_.get())) reclaim(false);
}

uint64_t Predecessor::fence_interval() const {
  return can_end(pidfd_.get()) ? kFenceNs : kAskToFenceNs;
}

// Only a keeper can end the successor, and there may be none now. At the limit this process is the
// one that goes: the successor may be awake again at any time, and two would serve.
void Predecessor::ask_to_fence_again(uint64_t now) {
  if (now < fence_limit_ns_ && !fault("predecessor", "fencing")) {
    (void)host_.end_peer(terms_, pidfd_.get(), terms_.successor);
    return;
  }
  end(why_ + ", and no keeper has ended it within " +
      std::to_string(kFenceLimitNs / kMillisecond / 1'000) + " s");
  host_.terminate(SEGUE_END_CRASHED);
}

Status Predecessor::undo_heaps() {
  for (const auto& heap : host_.inventory().heaps) {
    if (heap->retired || heap->way != HeapWay::mapped) continue;
    if (Status status = heap->undo(); !status.ok()) return status;
  }
  return Status::good();
}

void Predecessor::on_commit() {
  // A dead successor's last word does not count: this process is the only one left.
  if (is_dead(pidfd_.get())) return lose_successor("the successor died as it committed");
  if (host_.page().look().owner == host_.me()) {
    return lose_successor("the successor broke the protocol: it committed what it does not own");
  }
  if (!fault("predecessor", "commit")) send(FrameType::committed, {});
  host_.report(AttemptRole::predecessor, terms_.attempt, KeeperEvent::committed, 0, {});
  set_phase(SEGUE_PHASE_COMMITTED);
  yield_priority();
  host_.terminate(SEGUE_END_COMMITTED);
  finish();
}

void Predecessor::abort(const std::string& why) {
  switch (state_) {
    case State::over:
    case State::probation:
    case State::fencing:
      return;
    case State::offered:
      abort_why_ = why;
      return withdraw_at_deadline(why);
    default:
      if (frozen()) {
        abort_why_ = why;  // when the successor has yielded
        return;
      }
      return fail(why);
  }
}

}  // namespace segue::handoff
