// SPDX-License-Identifier: Apache-2.0
#include "handoff/predecessor.h"

#include <algorithm>

#include "handoff/clock.h"
#include "handoff/fault.h"
#include "handoff/negotiation.h"
#include "handoff/peer.h"

namespace segue::handoff {
namespace {

// The fixed part of a blackout before anything was measured: two wake-ups and a few frames.
constexpr uint64_t kFixedBlackoutNs = 200 * kMicrosecond;
// So many changes are always sent in one go at the mark of a rehearsal.
constexpr size_t kFewChanges = 64;
// Pause before another attempt after the first late one; it doubles with each.
constexpr uint64_t kFirstPauseNs = 2 * kMillisecond;
// A dead process's pidfd becomes readable when it has been torn down; a large one takes a while.
constexpr uint64_t kFenceNs = 30'000 * kMillisecond;
// However small the budget is, a successor has so long to give resources up again.
constexpr uint64_t kShortestYieldNs = 5 * kMillisecond;
constexpr uint32_t kGenerationsSkipped = 1U << 16;

}  // namespace

Predecessor::Predecessor(Host& host, UniqueFd link, UniqueFd successor_pidfd, Terms terms)
    : host_(host),
      link_(std::move(link)),
      pidfd_(std::move(successor_pidfd)),
      terms_(std::move(terms)),
      sender_(host.inventory(), link_),
      fixed_ns_(kFixedBlackoutNs) {
  if (terms_.mode == AttemptMode::rehearse) terms_.skip_rehearsal = false;
  segue_progress fresh{};
  fresh.size = sizeof fresh;
  host_.progress() = fresh;
  set_phase(SEGUE_PHASE_MEETING);
  wait_until(terms_.answer_ns);
  if (fault("predecessor", "meeting")) fail("injected error in meeting");
}

bool Predecessor::has_work() const {
  return (state_ == State::sending || state_ == State::digests) && !link_.congested();
}

void Predecessor::wait_until(uint64_t duration_ns) {
  deadline_ = monotonic_ns() + duration_ns;
}

void Predecessor::set_phase(segue_phase phase) {
  host_.progress().phase = phase;
  update_progress();
}

void Predecessor::update_progress() {
  segue_progress& progress = host_.progress();
  progress.rounds = rounds_;
  progress.attempts = freezes_;
  progress.records = sender_.records();
  progress.fds = sender_.descriptors();
  progress.bytes = link_.bytes_sent();
  progress.connections = host_.inventory().connections.count();
  host_.progressed(AttemptRole::predecessor, terms_.attempt);
}

void Predecessor::send(FrameType type, std::string_view payload) {
  if (Status status = link_.send(type, payload); !status.ok()) link_lost_ = true;
}

// ---- Frames --------------------------------------------------------------------------------

void Predecessor::on_link() {
  if (Status status = link_.flush(); !status.ok()) link_lost_ = true;
  constexpr int kMaxMessages = 64;  // then the service's clients have their turn
  for (int i = 0; i < kMaxMessages && state_ != State::over; ++i) {
    Message message;
    switch (link_.receive(message)) {
      case Link::Got::message:
        on_message(message);
        break;
      case Link::Got::nothing:
        return;
      case Link::Got::ended:
        return lose_successor("the successor closed the link");
      case Link::Got::broken:
        return lose_successor("the successor broke the protocol: " + link_.error());
    }
  }
}

void Predecessor::on_message(const Message& message) {
  const std::string_view payload = message.payload;
  if (!is_record(payload)) return lose_successor("the successor sent a malformed frame");
  if (message.type == FrameType::abort || message.type == FrameType::refuse) {
    return lose_successor("the successor: " + std::string(get_bytes(payload, 2)));
  }
  switch (state_) {
    case State::hello:
      if (message.type == FrameType::hello) return on_hello(payload);
      break;
    case State::ready:
      if (message.type == FrameType::ready) return begin_snapshot();
      break;
    case State::round:
      if (message.type == FrameType::round_done) return on_round_done(payload);
      break;
    case State::rehearsal:
      if (message.type == FrameType::rehearsed) return on_rehearsed(payload);
      break;
    case State::offered:
      if (message.type == FrameType::activated) return on_activated(payload);
      if (message.type == FrameType::decline) return on_decline(payload);
      break;
    case State::taken_back:
      if (message.type == FrameType::decline) return on_decline(payload);
      break;
    case State::probation:
      if (message.type == FrameType::heartbeat) return wait_until(terms_.hang_ns);
      if (message.type == FrameType::activated) return note_activation(payload);  // at the deadline
      if (message.type == FrameType::commit) return on_commit();
      break;
    case State::fencing:
      return;  // it is being killed: whatever it says is late
    case State::sending:
    case State::digests:
    case State::pausing:
    case State::over:
      break;
  }
  lose_successor("the successor sent " + std::string(frame_name(message.type)) + " out of order");
}

void Predecessor::on_hello(std::string_view hello) {
  std::string items;
  Status status = check_hello(hello, items);
  if (status.ok()) status = accept(items);
  if (status.ok()) {
    state_ = State::ready;
    return wait_until(terms_.answer_ns);
  }
  segue_writer out;
  put_number(out, 1, static_cast<uint64_t>(-status.code));
  put_field(out, 2, status.text);
  send(FrameType::refuse, out.fields);
  fail(status.text);
}

Status Predecessor::check_hello(std::string_view hello, std::string& items) {
  if (get_bytes(hello, 1) != kMagic) {
    return Status::bad(SEGUE_PEER, "the peer does not speak this protocol");
  }
  if (!agree_protocol(get_number(hello, 2, 0), get_number(hello, 3, 0))) {
    return Status::bad(SEGUE_REFUSED, "no common protocol version");
  }
  if (get_bytes(hello, 4) != host_.service()) {
    return Status::bad(SEGUE_REFUSED, "the successor is service " +
                                          std::string(get_bytes(hello, 4)) + ", this is " +
                                          host_.service());
  }
  if (!same_secret(get_bytes(hello, 6), terms_.nonce)) {
    return Status::bad(SEGUE_REFUSED, "the successor does not know this attempt's nonce");
  }
  if (!can_end(pidfd_.get())) {
    return Status::bad(SEGUE_REFUSED,
                       "this process may not end the successor if it hangs: both must run as the "
                       "same user, in PID namespaces that see each other");
  }
  constexpr uint64_t kSpareDescriptors = 16;
  const uint64_t needed = host_.inventory().descriptor_count() + kSpareDescriptors;
  const uint64_t room = get_number(hello, 7, 0);
  if (room < needed) {
    return Status::bad(SEGUE_REFUSED, "the successor can open " + std::to_string(room) +
                                          " more descriptors, " + std::to_string(needed) +
                                          " are needed: raise its RLIMIT_NOFILE");
  }
  return agree_forms(host_.inventory(), get_bytes(hello, 8), items);
}

Status Predecessor::accept(const std::string& items) {
  epoch_ = host_.page().look().epoch;
  if (terms_.successor == kNobody) terms_.successor = host_.page().new_name();
  segue_writer out;
  put_number(out, 1, kHighestProtocol);
  put_field(out, 2, host_.version());
  put_number(out, 3, terms_.successor);
  put_number(out, 4, epoch_);
  put_field(out, 5, items);
  put_number(out, 6, static_cast<uint64_t>(terms_.mode));
  put_number(out, 7, terms_.answer_ns / kMillisecond);
  put_number(out, 8, terms_.probation_ns / kMillisecond);
  put_number(out, 9, terms_.vote_required ? 1 : 0);
  put_number(out, 10, terms_.hang_ns / kMillisecond);
  put_number(out, 11, terms_.spin_ns / kMicrosecond);
  put_number(out, 12, host_.lock_fd() >= 0 ? 1 : 0);
  const int fds[2] = {host_.page().fd(), host_.lock_fd()};
  return link_.send(FrameType::accept, out.fields,
                    std::span<const int>(fds, host_.lock_fd() >= 0 ? 2 : 1));
}

// ---- Background ----------------------------------------------------------------------------

void Predecessor::begin_snapshot() {
  set_phase(SEGUE_PHASE_BACKGROUND);
  background_deadline_ = monotonic_ns() + terms_.background_ns;
  deadline_ = background_deadline_;
  host_.inventory().track();
  host_.inventory().rebuffing = true;
  sender_.begin_snapshot();
  state_ = State::sending;
  if (fault("predecessor", "background")) fail("injected error in background");
}

void Predecessor::work() {
  const uint64_t until = monotonic_ns() + terms_.slice_ns;
  bool done = false;
  Status status = Status::good();
  const uint64_t started = monotonic_ns();
  if (state_ == State::sending) {
    status = sender_.advance(until, done);
    send_spent_ns_ += monotonic_ns() - started;
  } else if (state_ == State::digests) {
    status = sender_.advance_digests(until, done);
  } else {
    return;
  }
  if (host_.inventory().overflowed()) {
    return fail("more than 16,777,216 records changed faster than they can be sent");
  }
  if (!status.ok()) return fail_sending(status);
  update_progress();
  if (!done) return;
  if (state_ == State::sending) return end_round();
  end_digests();
}

void Predecessor::begin_round() {
  records_before_ = sender_.records();
  send_spent_ns_ = 0;
  sender_.begin_round();
  state_ = State::sending;
  deadline_ = background_deadline_;
  work();  // most rounds are small and end here
}

void Predecessor::end_round() {
  ++rounds_;
  may_follow_ = (rehearsed_ || terms_.skip_rehearsal) && terms_.mode == AttemptMode::upgrade &&
                predict(host_.inventory().changes()) <= terms_.budget_ns;
  segue_writer out;
  put_number(out, 1, rounds_);
  put_number(out, 2, sender_.records());
  put_number(out, 3, sender_.descriptors());
  put_number(out, 4, link_.bytes_sent());
  put_number(out, 5, may_follow_ ? 1 : 0);
  send(FrameType::round, out.fields);
  state_ = State::round;
  deadline_ = std::min(background_deadline_,
                       monotonic_ns() + std::max(terms_.answer_ns, send_spent_ns_ * 20));
}

void Predecessor::on_round_done(std::string_view payload) {
  const bool matches = get_number(payload, 1, 0) == rounds_ &&
                       get_number(payload, 3, UINT64_MAX) == sender_.records() &&
                       get_number(payload, 4, UINT64_MAX) == sender_.descriptors();
  if (!matches) return lose_successor("the successor received another number of records");
  const uint64_t sent = sender_.records() - records_before_;
  if (sent > 0) {
    const uint64_t spent = send_spent_ns_ + get_number(payload, 2, 0);
    const uint64_t measured = spent / sent;
    ns_per_record_ = ns_per_record_ == 0 ? measured : (ns_per_record_ + measured) / 2;
  }
  snapshot_sent_ = true;
  update_progress();
  after_round();
}

uint64_t Predecessor::predict(size_t changes) const {
  return fixed_ns_ + changes * ns_per_record_;
}

bool Predecessor::few_enough_to_send_at_once(size_t changes) const {
  return changes <= kFewChanges || changes * ns_per_record_ <= 2 * terms_.slice_ns;
}

void Predecessor::after_round() {
  const size_t changes = host_.inventory().changes();
  const uint64_t predicted = predict(changes);
  host_.progress().predicted_ns = predicted;
  host_.report(AttemptRole::predecessor, terms_.attempt, KeeperEvent::round_begun, rounds_, {});
  if (!rehearsed_ && !terms_.skip_rehearsal) {
    if (few_enough_to_send_at_once(changes)) return begin_rehearsal();
    return next_round_or_give_up("records change faster than they can be sent");
  }
  if (may_follow_ && predicted <= terms_.budget_ns) return enter_foreground();
  next_round_or_give_up("predicted blackout " + std::to_string(predicted / kMicrosecond) +
                        " us is over the budget of " +
                        std::to_string(terms_.budget_ns / kMicrosecond) + " us");
}

void Predecessor::next_round_or_give_up(const std::string& why) {
  if (rounds_ >= terms_.max_rounds) {
    return fail(why + " after " + std::to_string(rounds_) + " rounds");
  }
  if (freezes_ >= terms_.max_attempts) {
    return fail(why + " after " + std::to_string(freezes_) + " attempts");
  }
  if (freezes_ == 0) return begin_round();
  state_ = State::pausing;
  wait_until(kFirstPauseNs << std::min<uint32_t>(freezes_, 6));
}

void Predecessor::fail_sending(const Status& status) {
  // A successor that refused and closed has said why: that comes before "broken pipe".
  if (status.code == SEGUE_SYSTEM) on_link();
  fail(status.text);
}

// ---- Rehearsal -----------------------------------------------------------------------------

void Predecessor::begin_rehearsal() {
  set_phase(SEGUE_PHASE_REHEARSAL);
  if (fault("predecessor", "rehearsal")) return fail("injected error in rehearsal");
  sender_.begin_round();
  if (const Status status = sender_.advance_all(kNever); !status.ok()) return fail_sending(status);
  send(FrameType::mark, {});
  sender_.begin_digests();
  state_ = State::digests;
  wait_until(terms_.rehearsal_ns);
}

void Predecessor::end_digests() {
  if (Status status = sender_.send_excluded(); !status.ok()) return fail(status.text);
  send(FrameType::rehearse, {});
  state_ = State::rehearsal;
}

void Predecessor::on_rehearsed(std::string_view payload) {
  if (get_number(payload, 1, 0) != 1) {
    std::string why = "rehearsal: " + std::string(get_bytes(payload, 2));
    const std::string item(get_bytes(payload, 3));
    if (!item.empty()) why += " (" + item + " " + printable(get_bytes(payload, 4)) + ")";
    return fail(why);
  }
  rehearsed_ = true;
  if (terms_.mode == AttemptMode::rehearse) {
    host_.report(AttemptRole::predecessor, terms_.attempt, KeeperEvent::rehearsed, 0, {});
    return finish();
  }
  set_phase(SEGUE_PHASE_BACKGROUND);
  begin_round();
}

// ---- Foreground ----------------------------------------------------------------------------

void Predecessor::enter_foreground() {
  ++freezes_;
  frozen_since_ = monotonic_ns();
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
    deadline_ = frozen_since_ + terms_.budget_ns;
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

Status Predecessor::offer() {
  sender_.begin_round();
  const uint64_t deadline = frozen_since_ + terms_.budget_ns;
  if (Status status = sender_.advance_all(deadline); !status.ok()) return status;
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
  set_phase(SEGUE_PHASE_BACKGROUND);
  host_.report(AttemptRole::predecessor, terms_.attempt, KeeperEvent::resumed, reason, {});
}

void Predecessor::note_activation(std::string_view payload) {
  state_ = State::probation;
  host_.progress().blackout_ns = get_number(payload, 2, 0);
  set_phase(SEGUE_PHASE_PROBATION);
  wait_until(terms_.hang_ns);
}

void Predecessor::on_activated(std::string_view payload) {
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
      return begin_round();
    case State::probation:
      // If this process was not running either, the successor may be as healthy as it is.
      if (late_ns > terms_.hang_ns / 8) return wait_until(terms_.hang_ns);
      return fence("the successor hangs in probation");
    case State::fencing:
      // Look again rather than serve twice: only the kernel keeps it, or a third instance that was
      // offered the service has had its chance.
      wait_until(kFenceNs);
      if (is_dead(pidfd_.get())) reclaim(true);
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
  const Status killed = kill_peer(pidfd_.get());
  if (!frozen()) return fail(why);
  if (!killed.ok() && state_ == State::probation && !link_lost_) return wait_until(terms_.hang_ns);
  if (state_ != State::fencing) {
    state_ = State::fencing;
    why_ = why;
    wait_until(kFenceNs);
  }
  if (is_dead(pidfd_.get())) reclaim(false);
}

// The successor is dead. `waited`: a third instance that it had offered the service to had time.
void Predecessor::reclaim(bool waited) {
  const Ownership now = host_.page().look();
  if (now.owner == host_.me()) {  // withdrawn before
    thaw(SEGUE_RESUME_ABORTED);
    return fail(why_);
  }
  if (now.owner == terms_.successor && now.state == OwnerState::offered && !waited) {
    return wait_until(terms_.answer_ns);
  }
  if (now.owner != terms_.successor ||
      !host_.page().reclaim(now.epoch, terms_.successor, host_.me())) {
    // Somebody else serves: the successor had handed over in its turn.
    host_.terminate(SEGUE_END_COMMITTED);
    return finish();
  }
  epoch_ = now.epoch + 1;
  // Ids that the successor gave out meanwhile are not given out again.
  Connections& connections = host_.inventory().connections;
  connections.raise_generation(connections.generation() + kGenerationsSkipped);
  thaw(SEGUE_RESUME_RECLAIMED);
  fail(why_);
}

void Predecessor::on_commit() {
  // A dead successor's last word does not count: this process is the only one left.
  if (is_dead(pidfd_.get())) return lose_successor("the successor died as it committed");
  if (fault("predecessor", "commit")) return lose_successor("injected error in commit");
  send(FrameType::committed, {});
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

void Predecessor::fail(const std::string& why) {
  if (state_ == State::over) return;
  if (!link_lost_) {
    segue_writer out;
    put_number(out, 1, 1);
    put_field(out, 2, why);
    send(FrameType::abort, out.fields);
  }
  finish();
  host_.report(AttemptRole::predecessor, terms_.attempt, KeeperEvent::failed, 0, why);
}

void Predecessor::finish() {
  if (!link_lost_) (void)link_.flush();
  state_ = State::over;
  deadline_ = kNever;
  host_.inventory().stop_tracking();
  if (host_.progress().phase != SEGUE_PHASE_COMMITTED) set_phase(SEGUE_PHASE_ENDED);
}

}  // namespace segue::handoff
