// SPDX-License-Identifier: Apache-2.0
// How the predecessor comes by the service's other event loops: one at a time in the background,
// all of them before a rehearsal's mark and before a freeze; and how it awaits operations in
// flight.
#include <algorithm>

#include "handoff/clock.h"
#include "handoff/predecessor.h"

namespace segue::handoff {
namespace {

// The part of the budget that may pass until all loops have stopped.
constexpr uint64_t kGatherPartOfBudget = 2;  // a half
constexpr uint64_t kLoopPauseNs = 2 * kMillisecond;

}  // namespace

// False: it was asked, and on_offer() or its deadline comes next.
bool Predecessor::borrow_loop(LoopNumber& borrowed) {
  Loops& loops = host_.inventory().loops;
  const LoopNumber wanted = sender_.wanted_loop();
  if (wanted == kInstanceThread || loops.borrow(wanted)) {
    borrowed = wanted;
    awaited_loop_ = kInstanceThread;
    loop_deadline_ = kNever;
    return true;
  }
  if (awaited_loop_ == kInstanceThread) loop_deadline_ = monotonic_ns() + terms_.answer_ns;
  awaited_loop_ = wanted;
  return false;
}

void Predecessor::on_offer() {
  if (awaited_loop_ == kInstanceThread) return host_.inventory().loops.decline_offers();
  if (!link_.congested()) return work();
  // The successor is the slower side: the loop may serve on.
  awaited_loop_ = kInstanceThread;
  loop_deadline_ = kNever;
  host_.inventory().loops.decline_offers();
}

Status Predecessor::gather_loops() {
  Loops& loops = host_.inventory().loops;
  if (loops.count() == 0) return Status::good();
  const uint64_t limit_ns = terms_.budget_ns / kGatherPartOfBudget;
  std::string missing;
  if (loops.gather(monotonic_ns() + limit_ns, missing)) return Status::good();
  return Status::bad(SEGUE_TIMEOUT, missing + " did not come to its request boundary within " +
                                        std::to_string(limit_ns / kMicrosecond) + " us");
}

void Predecessor::enter_foreground() {
  ++freezes_;
  drained_since_ = monotonic_ns();
  Operations& operations = host_.inventory().operations;
  if (operations.ended_fd() < 0) return freeze();  // none are declared
  state_ = State::draining;
  wait_until(terms_.budget_ns / kGatherPartOfBudget);
  operations.drain();
  on_operations_ended();  // there may be none
}

void Predecessor::on_operations_ended() {
  if (state_ == State::draining && !host_.inventory().operations.in_flight()) freeze();
}

std::string Predecessor::still_in_flight() const {
  return host_.inventory().operations.describe() + " did not end within " +
         std::to_string(terms_.budget_ns / kGatherPartOfBudget / kMicrosecond) + " us";
}

// A loop in the middle of a long request uses up one attempt, not all of them.
void Predecessor::retry_when_loops_are_back(const std::string& why) {
  if (rounds_ >= terms_.max_rounds) {
    return fail(why + " after " + std::to_string(rounds_) + " rounds");
  }
  if (freezes_ >= terms_.max_attempts) {
    return fail(why + " after " + std::to_string(freezes_) + " attempts");
  }
  host_.inventory().operations.go_on();
  state_ = State::pausing;
  why_ = why;
  loop_deadline_ = monotonic_ns() + terms_.answer_ns;
  wait_until(kLoopPauseNs << std::min<uint32_t>(freezes_, 5));
}

void Predecessor::end_pause(uint64_t now) {
  if (host_.inventory().loops.is_late() && loop_deadline_ != kNever) {
    if (now >= loop_deadline_) return fail(why_ + ", nor soon after");
    return wait_until(kLoopPauseNs);
  }
  loop_deadline_ = kNever;
  begin_round();
}

}  // namespace segue::handoff
