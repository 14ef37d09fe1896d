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
  return (state_ == State::sending || state_ == State::digests) && !link_.congested() &&
         awaited_loop_ == kInstanceThread;
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
  if (const Status status = link_.send(type, payload); !status.ok()) link_lost_ = true;
}

// ---- Frames --------------------------------------------------------------------------------

void Predecessor::on_link() {
  if (const Status status = link_.flush(); !status.ok()) link_lost_ = true;
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

void Predecessor::on_message(Message& message) {
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
      if (message.type == FrameType::heartbeat) return wait_for_round();
      break;
    case State::rehearsal:
      if (message.type == FrameType::rehearsed) return on_rehearsed(payload);
      if (message.type == FrameType::heartbeat) return check_rehearsal();
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
      if (message.type == FrameType::accepted) return keep_accepted(message);
      if (message.type == FrameType::connections_closed) return forget_accepted(payload);
      break;
    case State::fencing:
      // It is being killed: whatever it says is late, but not what it has done.
      if (message.type == FrameType::accepted) keep_accepted(message);
      if (message.type == FrameType::connections_closed) forget_accepted(payload);
      return;
    case State::sending:
    case State::digests:
    case State::pausing:
    case State::draining:
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
  if (!can_end(pidfd_.get()) && !terms_.keeper_fences) {
    return Status::bad(SEGUE_REFUSED,
                       "this process may not end the successor if it hangs: both must run as the "
                       "same user, in PID namespaces that see each other, or have a keeper that "
                       "can");
  }
  constexpr uint64_t kSpareDescriptors = 16;
  const uint64_t needed = host_.inventory().descriptor_count() + kSpareDescriptors;
  const uint64_t room = get_number(hello, 7, 0);
  if (room < needed) {
    return Status::bad(SEGUE_REFUSED, "the successor can open " + std::to_string(room) +
                                          " more descriptors, " + std::to_string(needed) +
                                          " are needed: raise its RLIMIT_NOFILE");
  }
  host_.inventory().successor_clears = get_number(hello, 11, 0) == 1;
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
  sender_.heaps().set_digesting(!terms_.skip_rehearsal);
  offer_journal();
  sender_.begin_snapshot();
  state_ = State::sending;
  if (fault("predecessor", "background")) fail("injected error in background");
}

void Predecessor::work() {
  if (state_ != State::sending && state_ != State::digests) return;
  LoopNumber borrowed = kInstanceThread;
  if (!borrow_loop(borrowed)) return;
  bool done = false;
  const uint64_t started = monotonic_ns();
  const uint64_t until = started + terms_.slice_ns;
  const uint64_t digest_ns = sender_.heaps().digest_ns();
  const bool digesting = state_ == State::digests;
  const Status status =
      digesting ? sender_.advance_digests(until, done) : sender_.advance(until, done);
  host_.inventory().loops.give_back(borrowed);
  // A blackout has no digests to make.
  const uint64_t digested_ns = sender_.heaps().digest_ns() - digest_ns;
  if (!digesting) send_spent_ns_ += monotonic_ns() - started - digested_ns;
  if (host_.inventory().overflowed()) {
    return fail("more than 16,777,216 records changed faster than they can be sent");
  }
  if (!status.ok()) return fail_sending(status);
  if (digesting) check_rehearsal();
  if (state_ == State::over) return;
  update_progress();
  if (!done) return;
  digesting ? end_digests() : end_round();
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
                predict(host_.inventory().changes_in_blackout()) <= terms_.budget_ns;
  segue_writer out;
  put_number(out, 1, rounds_);
  put_number(out, 2, sender_.records());
  put_number(out, 3, sender_.descriptors());
  put_number(out, 4, link_.bytes_sent());
  put_number(out, 5, may_follow_ ? 1 : 0);
  send(FrameType::round, out.fields);
  state_ = State::round;
  wait_for_round();
}

// Again with each sign of life: a successor that converts gigabytes answers when it is done.
void Predecessor::wait_for_round() {
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

bool Predecessor::few_enough_to_send_at_once(size_t changes) {
  // Serving pauses for it as it would for a blackout, so it may take what a blackout may.
  const uint64_t send_ns = changes <= kFewChanges ? 0 : changes * ns_per_record_;
  return send_ns + sender_.heaps().predict_digest_ns() <= terms_.budget_ns / 2;
}

void Predecessor::after_round() {
  const size_t changes = host_.inventory().changes();
  const uint64_t predicted = predict(host_.inventory().changes_in_blackout());
  host_.progress().predicted_ns = predicted;
  host_.report(AttemptRole::predecessor, terms_.attempt, KeeperEvent::round_begun, rounds_, {});
  if (!rehearsed_ && !terms_.skip_rehearsal) {
    if (few_enough_to_send_at_once(changes)) return begin_rehearsal();
    const uint64_t digest_ns = sender_.heaps().predict_digest_ns();
    return next_round_or_give_up("records change faster than they can be sent" +
                                 (digest_ns == 0
                                      ? ""
                                      : ", or digested in half the budget (heaps: " +
                                            std::to_string(digest_ns / kMicrosecond) + " us)"));
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
  // What the successor holds at the mark has to be of one moment.
  if (const Status held = gather_loops(); !held.ok()) {
    set_phase(SEGUE_PHASE_BACKGROUND);
    return retry_when_loops_are_back(held.text);
  }
  sender_.begin_round();
  Status status = sender_.advance_all(kNever);
  if (status.ok()) {
    send(FrameType::mark, {});
    status = sender_.heaps().mark();
  }
  host_.inventory().loops.give_all_back();
  if (!status.ok()) return fail_sending(status);
  sender_.begin_digests();
  state_ = State::digests;
  wait_until(terms_.rehearsal_ns);
}

void Predecessor::end_digests() {
  if (const Status status = sender_.send_excluded(); !status.ok()) return fail(status.text);
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
  sender_.heaps().end_rehearsal();
  if (terms_.mode == AttemptMode::rehearse) {
    host_.report(AttemptRole::predecessor, terms_.attempt, KeeperEvent::rehearsed, 0, {});
    return finish();
  }
  set_phase(SEGUE_PHASE_BACKGROUND);
  begin_round();
}

// A heap that was written to more than its log holds serves on, without the rehearsal.
void Predecessor::check_rehearsal() {
  if (const std::string lost = sender_.heaps().lost_rehearsal(); !lost.empty()) fail(lost);
}

void Predecessor::fail(const std::string& reason) {
  if (state_ == State::over) return;
  // Then the successor has failed for that, whatever it says.
  const std::string lost = sender_.heaps().lost_rehearsal();
  host_.inventory().operations.go_on();
  end(lost.empty() ? reason : lost);
}

// Without going on: what is frozen stays so.
void Predecessor::end(const std::string& why) {
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
  deadline_ = loop_deadline_ = kNever;
  host_.inventory().loops.decline_offers();
  host_.inventory().stop_tracking();
  if (host_.progress().phase != SEGUE_PHASE_COMMITTED) set_phase(SEGUE_PHASE_ENDED);
}

}  // namespace segue::handoff
