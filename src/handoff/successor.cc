// SPDX-License-Identifier: Apache-2.0
#include "handoff/successor.h"

#include <sched.h>

#include <algorithm>

#include "handoff/clock.h"
#include "handoff/fault.h"
#include "handoff/negotiation.h"
#include "handoff/peer.h"

namespace segue::handoff {
namespace {

constexpr uint64_t kHeartbeatsPerHang = 8;
constexpr uint64_t kSliceBeforeActivation = 5 * kMillisecond;
// A required vote that is not cast so long after the probation counts as a bad one, where there is
// no keeper to decide that.
constexpr uint64_t kVoteLimitNs = 60'000 * kMillisecond;

}  // namespace

Successor::Successor(Host& host, UniqueFd link, UniqueFd predecessor_pidfd, Terms terms)
    : host_(host),
      link_(std::move(link)),
      pidfd_(std::move(predecessor_pidfd)),
      terms_(std::move(terms)),
      receiver_(host.inventory(), host) {
  segue_progress fresh{};
  fresh.size = sizeof fresh;
  host_.progress() = fresh;
  set_phase(SEGUE_PHASE_MEETING);
  segue_writer out;
  put_field(out, 1, kMagic);
  put_number(out, 2, kLowestProtocol);
  put_number(out, 3, kHighestProtocol);
  put_field(out, 4, host_.service());
  put_field(out, 5, host_.version());
  put_field(out, 6, terms_.nonce);
  put_number(out, 7, free_descriptors());
  put_field(out, 8, describe_items(host_.inventory()));
  put_number(out, 9, static_cast<uint64_t>(getpid()));
  put_number(out, 11, 1);
  send(FrameType::hello, out.fields);
  wait_until(terms_.answer_ns *
             2);  // the predecessor's own deadline ends it earlier, with a reason
}

void Successor::wait_until(uint64_t duration_ns) {
  deadline_ = monotonic_ns() + duration_ns;
}

void Successor::set_phase(segue_phase phase) {
  host_.progress().phase = phase;
  update_progress();
}

void Successor::update_progress() {
  segue_progress& progress = host_.progress();
  progress.records = receiver_.records();
  progress.fds = receiver_.descriptors();
  progress.bytes = link_.bytes_received();
  if (activated_ns_ == 0) progress.connections = host_.inventory().connections.count();
  host_.progressed(AttemptRole::successor, terms_.attempt);
}

void Successor::send(FrameType type, std::string_view payload) {
  (void)link_.send(type, payload);
}

// ---- Frames --------------------------------------------------------------------------------

void Successor::on_link() {
  (void)link_.flush();
  constexpr int kMaxMessages = 256;
  for (int i = 0; i < kMaxMessages && state_ != State::over; ++i) {
    Message message;
    switch (link_.receive(message)) {
      case Link::Got::message:
        on_message(message);
        break;
      case Link::Got::nothing:
        if (state_ != State::armed) return;
        return spin();
      case Link::Got::ended:
        return lose_predecessor("the predecessor closed the link");
      case Link::Got::broken:
        return fail("the predecessor broke the protocol: " + link_.error());
    }
  }
}

void Successor::spin() {
  const uint64_t until = monotonic_ns() + terms_.spin_ns;
  while (state_ == State::armed && monotonic_ns() < until) {
    Message message;
    switch (link_.receive(message)) {
      case Link::Got::message:
        on_message(message);
        break;
      case Link::Got::nothing:
        sched_yield();
        break;
      case Link::Got::ended:
        return lose_predecessor("the predecessor closed the link");
      case Link::Got::broken:
        return fail("the predecessor broke the protocol: " + link_.error());
    }
  }
}

void Successor::on_message(Message& message) {
  const bool receiving = state_ == State::background || state_ == State::armed;
  if (receiving && Receiver::handles(message.type)) {
    const uint64_t started = monotonic_ns();
    const Status status = receiver_.apply(message);
    // Populating an arena is done once, and not in the blackout: it predicts nothing.
    if (message.type != FrameType::arena && message.type != FrameType::heap)
      apply_ns_ += monotonic_ns() - started;
    if (!status.ok()) return fail(status.text);
    if (state_ == State::background) update_progress();  // not in the blackout
    return;
  }
  const std::string_view payload = message.payload;
  if (!is_record(payload)) return fail("the predecessor sent a malformed frame");
  switch (message.type) {
    case FrameType::accept:
      if (state_ == State::accept) return on_accept(message);
      break;
    case FrameType::refuse:
    case FrameType::abort:
      if (state_ == State::probation) break;
      return fail(std::string(get_bytes(payload, 2)), false);
    case FrameType::round:
      if (receiving) return on_round(payload);
      break;
    case FrameType::mark:
      if (receiving) return on_mark();
      break;
    case FrameType::rehearse:
      if (receiving) return on_rehearse();
      break;
    case FrameType::final:
      if (receiving) return on_final(payload);
      break;
    case FrameType::withdrawn:
      if (receiving || state_ == State::final) return on_withdrawn();
      break;
    case FrameType::journal:
      if (receiving) return on_journal(message);
      break;
    case FrameType::room:
      if (state_ == State::probation) return on_room(payload);
      break;
    case FrameType::committed:
      if (state_ == State::probation) return finish_committed();
      break;
    default:
      break;
  }
  if (state_ == State::probation) return;  // this process serves: nothing that is said ends that
  fail("the predecessor sent " + std::string(frame_name(message.type)) + " out of order");
}

void Successor::on_accept(Message& message) {
  const std::string_view payload = message.payload;
  const bool with_lock = get_number(payload, 12, 0) == 1;
  if (message.fds.size() != (with_lock ? 2U : 1U) ||
      !agree_protocol(get_number(payload, 1, 0), get_number(payload, 1, 0))) {
    return fail("the predecessor sent a malformed ACCEPT");
  }
  if (fault("successor", "meeting")) return fail("injected error in meeting");
  OwnerPage page;
  if (const Status status = OwnerPage::map(std::move(message.fds[0]), page); !status.ok()) {
    return fail(status.text);
  }
  host_.page() = std::move(page);
  if (with_lock) host_.take_lock(std::move(message.fds[1]));
  predecessor_ = host_.page().look().owner;
  host_.set_me(static_cast<OwnerName>(get_number(payload, 3, 0) & 0xFFFFFF));
  terms_.mode = static_cast<AttemptMode>(get_number(payload, 6, 1));
  terms_.answer_ns = get_number(payload, 7, 0) * kMillisecond;
  terms_.probation_ns = get_number(payload, 8, 0) * kMillisecond;
  terms_.vote_required = get_number(payload, 9, 0) == 1;
  terms_.hang_ns = std::max<uint64_t>(get_number(payload, 10, 0), 8) * kMillisecond;
  terms_.spin_ns = get_number(payload, 11, 0) * kMicrosecond;
  if (const Status status = receiver_.agree_items(get_bytes(payload, 5)); !status.ok()) {
    return fail(status.text);
  }
  if (const Status status = receiver_.heaps().prepare(read_memory_room("")); !status.ok()) {
    return fail(status.text);
  }
  state_ = State::background;
  // The predecessor keeps the deadlines from here on; this one is for one that hangs.
  wait_until(terms_.background_ns + terms_.rehearsal_ns);
  set_phase(SEGUE_PHASE_BACKGROUND);
  send(FrameType::ready, {});
  if (fault("successor", "background")) return fail("injected error in background");
}

void Successor::on_round(std::string_view payload) {
  if (!receiver_.complete() || get_number(payload, 2, 0) != receiver_.records() ||
      get_number(payload, 3, 0) != receiver_.descriptors()) {
    return fail("another number of records or descriptors arrived than was sent");
  }
  if (!std::exchange(provided_, true)) {
    // What only this version declares.
    if (const Status status = host_.provide_missing(false); !status.ok()) return fail(status.text);
  }
  round_ = get_number(payload, 1, 0);
  foreground_may_follow_ = get_number(payload, 5, 0) == 1;
  owed_ = Owed::round;
  if (!receiver_.heaps().has_work()) answer_round();
}

void Successor::answer_round() {
  owed_ = Owed::nothing;
  segue_writer out;
  put_number(out, 1, round_);
  put_number(out, 2, std::exchange(apply_ns_, 0));
  put_number(out, 3, receiver_.records());
  put_number(out, 4, receiver_.descriptors());
  send(FrameType::round_done, out.fields);
  host_.progress().rounds = static_cast<uint32_t>(round_);
  state_ = foreground_may_follow_ ? State::armed : State::background;
  receiver_.in_blackout = state_ == State::armed;
  if (state_ == State::armed && fault("successor", "foreground")) {
    return fail("injected error in foreground");
  }
}

void Successor::on_mark() {
  state_ = State::background;
  set_phase(SEGUE_PHASE_REHEARSAL);
  if (fault("successor", "rehearsal")) return fail("injected error in rehearsal");
}

void Successor::on_rehearse() {
  receiver_.heaps().begin_verification();
  owed_ = Owed::rehearsal;
  if (!receiver_.heaps().has_work()) end_rehearsal();
}

void Successor::end_rehearsal() {
  owed_ = Owed::nothing;
  Receiver::Difference difference = receiver_.heaps().difference();
  if (difference.what.empty()) {
    if (const Status status = receiver_.compare(difference); !status.ok()) return fail(status.text);
  }
  std::string why;
  if (difference.what.empty() && !host_.check(why)) {
    difference.what = "the service's own check failed: " + why;
  }
  receiver_.heaps().end_rehearsal();
  segue_writer out;
  put_number(out, 1, difference.what.empty() ? 1 : 0);
  put_field(out, 2, difference.what);
  put_field(out, 3, difference.item);
  put_field(out, 4, difference.key);
  send(FrameType::rehearsed, out.fields);
  if (!difference.what.empty()) return;  // the predecessor ends it, with the same words
  if (terms_.mode == AttemptMode::rehearse) {
    (void)link_.flush();
    state_ = State::over;
    set_phase(SEGUE_PHASE_ENDED);
    host_.report(AttemptRole::successor, terms_.attempt, KeeperEvent::rehearsed, 0, {});
    return host_.terminate(SEGUE_END_REHEARSED);
  }
  set_phase(SEGUE_PHASE_BACKGROUND);
}

// ---- Work ----------------------------------------------------------------------------------

bool Successor::has_work() const {
  const bool may = state_ == State::background || state_ == State::armed || active();
  return may && receiver_.heaps().has_work();
}

void Successor::work() {
  const uint64_t now = monotonic_ns();
  // As long as this process does not serve, only the predecessor waits for it.
  const uint64_t slice_ns = active() ? terms_.slice_ns : kSliceBeforeActivation;
  if (const Status status = receiver_.heaps().work(now + slice_ns); !status.ok()) {
    return fail(status.text);
  }
  if (!receiver_.heaps().has_work()) return work_done();
  if (owed_ != Owed::nothing) show_life(now);
}

void Successor::work_done() {
  if (owed_ == Owed::round) return answer_round();
  if (owed_ == Owed::rehearsal) return end_rehearsal();
}

void Successor::show_life(uint64_t now) {
  if (now - last_sign_ns_ < terms_.answer_ns / kHeartbeatsPerHang) return;
  last_sign_ns_ = now;
  send(FrameType::heartbeat, {});
}

// ---- Foreground ----------------------------------------------------------------------------

void Successor::on_final(std::string_view payload) {
  if (!receiver_.complete() || get_number(payload, 4, 0) != receiver_.records() ||
      get_number(payload, 5, 0) != receiver_.descriptors()) {
    return fail("another number of records or descriptors arrived than was sent");
  }
  epoch_ = static_cast<uint32_t>(get_number(payload, 1, 0));
  freeze_ns_ = get_number(payload, 2, 0);
  offer_deadline_ns_ = get_number(payload, 3, 0);
  host_.inventory().connections.raise_generation(static_cast<uint32_t>(get_number(payload, 6, 0)));
  state_ = State::final;
  try_activate();
}

Status Successor::check_at_rest() {
  Status status = receiver_.heaps().finish();
  return status.ok() ? check_arenas(host_.inventory()) : status;
}

void Successor::try_activate() {
  if (const Status at_rest = check_at_rest(); !at_rest.ok()) {
    return decline(DeclineCode::check, at_rest.text);
  }
  acquired_ = true;
  if (!host_.acquire()) {
    acquired_ = false;
    return decline(DeclineCode::acquire, "a single-access resource could not be taken");
  }
  if (fault("successor", "offered"))
    return decline(DeclineCode::other, "injected error in offered");
  if (monotonic_ns() >= offer_deadline_ns_) {
    return decline(DeclineCode::late, "the budget was used up");
  }
  // Before it owns anything: from the first moment on the predecessor can rely on the journal.
  if (recorder_) recorder_->begin();
  if (!host_.page().activate(epoch_, predecessor_, host_.me())) {
    return decline(DeclineCode::late, "the predecessor took the offer back");
  }
  begin_recording();
  become_active(false);
}

void Successor::become_active(bool first) {
  state_ = State::probation;
  const uint32_t epoch = host_.page().look().epoch;
  activated_ns_ = monotonic_ns();
  host_.progress().connections = host_.inventory().connections.count();
  const uint64_t blackout = first ? 0 : activated_ns_ - freeze_ns_;
  if (!first) receiver_.heaps().activate();
  {
    // The service may use connections in it already. Other loops begin when it has returned.
    const Turns::Held held(host_.inventory().loops.turns());
    host_.activate(first, epoch, blackout);
  }
  const uint64_t measured = first ? 0 : monotonic_ns() - freeze_ns_;
  host_.progress().blackout_ns = measured;
  segue_writer out;
  put_number(out, 1, epoch);
  put_number(out, 2, measured);
  put_number(out, 3, activated_ns_);
  send(FrameType::activated, out.fields);
  announced_ = true;
  set_phase(SEGUE_PHASE_PROBATION);
  host_.report(AttemptRole::successor, terms_.attempt, KeeperEvent::activated, measured, {});
  deadline_ = next_heartbeat(activated_ns_);
  if (fault("successor", "probation")) (void)vote(false, "injected error in probation");
}

void Successor::decline(DeclineCode code, const std::string& why) {
  if (std::exchange(acquired_, false)) host_.yield();
  segue_writer out;
  put_number(out, 1, static_cast<uint64_t>(code));
  put_field(out, 2, why);
  send(FrameType::decline, out.fields);
  wait_until(terms_.answer_ns);  // for WITHDRAWN
}

void Successor::on_withdrawn() {
  if (std::exchange(acquired_, false)) host_.yield();
  state_ = State::background;
  receiver_.in_blackout = false;
  epoch_ = 0;
  wait_until(terms_.background_ns);
}

// ---- Losing the predecessor ----------------------------------------------------------------

void Successor::on_death() {
  if (!is_dead(pidfd_.get())) return;
  // Everything it sent before it died is still in the socket.
  while (state_ != State::over && !predecessor_gone_) {
    Message message;
    const Link::Got got = link_.receive(message);
    if (got != Link::Got::message) break;
    on_message(message);
  }
  lose_predecessor("the predecessor died");
}

void Successor::lose_predecessor(const std::string& why) {
  if (state_ == State::over || predecessor_gone_) return;
  if (state_ == State::probation) {
    predecessor_gone_ = true;
    return finish_committed();
  }
  if (!is_dead(pidfd_.get())) {
    // Closing the link without a word is what an aborting predecessor does, or a dying one just
    // before its pidfd tells: wait for that a moment.
    if (deadline_ == kNever) wait_until(terms_.answer_ns);
    link_closed_ = true;
    why_ = why;
    return;
  }
  predecessor_gone_ = true;
  if (state_ == State::final) {
    if (const Status status = inherit(); !status.ok()) {
      fail(why + ", and this process could not take its place: " + status.text, false);
    }
    return;
  }
  if (state_ == State::accept && host_.seek_again()) {
    state_ = State::over;
    deadline_ = kNever;
    return;
  }
  if (host_.alone() && start_clean()) return;
  fail(why, false);
}

Status Successor::inherit() {
  // It may have declined for just that, unheard.
  if (Status status = check_at_rest(); !status.ok()) return status;
  if (!acquired_ && !host_.acquire()) {
    return Status::bad(SEGUE_REFUSED, "a single-access resource could not be taken");
  }
  acquired_ = true;
  if (!host_.page().inherit(epoch_, predecessor_, host_.me())) {
    return Status::bad(SEGUE_STATE, "somebody else owns the service");
  }
  become_active(false);
  finish_committed();
  return Status::good();
}

bool Successor::start_clean() {
  if (!host_.page().valid()) return false;
  const Ownership now = host_.page().look();
  if (now.owner != predecessor_ || !host_.inventory().clear()) return false;
  // Of the predecessor's memory, which is about to go.
  for (const auto& heap : host_.inventory().heaps) heap->reader = nullptr;
  if (!host_.provide_missing(true).ok() || !host_.acquire() ||
      !host_.page().inherit(now.epoch, predecessor_, host_.me()))
    return false;
  become_active(true);
  finish_committed();
  return true;
}

// ---- Probation -----------------------------------------------------------------------------

void Successor::on_time(uint64_t now) {
  if (now < deadline_) return;
  deadline_ = kNever;
  if (state_ == State::probation) {
    if (!predecessor_gone_) send(FrameType::heartbeat, {});
    deadline_ = next_heartbeat(now);
    if (voted_bad_ && host_.alone()) return hand_back_by_ending(vote_why_);
    if (commit_sent_ns_ != 0 && now - commit_sent_ns_ >= terms_.answer_ns) {
      // Stopped or hung; this process owns the service, so the other one is of no use any more.
      (void)host_.end_peer(terms_, pidfd_.get(), predecessor_);
      return;
    }
    return consider_commit(now);
  }
  if (link_closed_) return fail(why_, false);
  fail("the predecessor did not answer in time");
}

uint64_t Successor::next_heartbeat(uint64_t now) const {
  const uint64_t beat = now + terms_.hang_ns / kHeartbeatsPerHang;
  const uint64_t probation_ends = activated_ns_ + terms_.probation_ns;
  return probation_ends > now ? std::min(beat, probation_ends) : beat;
}

Status Successor::vote(bool good, const std::string& why) {
  if (!good && commit_sent_ns_ != 0) {
    return Status::bad(SEGUE_STATE, "too late for a bad vote: the predecessor was told to end");
  }
  host_.report(AttemptRole::successor, terms_.attempt, KeeperEvent::vote, good ? 1 : 0, why);
  if (state_ != State::probation) return Status::good();
  voted_good_ = good;
  voted_bad_ = !good;
  vote_why_ = why;
  if (good) {
    consider_commit(monotonic_ns());
  } else if (host_.alone()) {
    hand_back_by_ending(why);  // otherwise the keeper hands back
  }
  return Status::good();
}

// Nobody else can hand back: this process ends, and the predecessor reclaims.
void Successor::hand_back_by_ending(const std::string& why) {
  state_ = State::over;
  deadline_ = kNever;
  if (recording_ != nullptr) recording_->stop();
  host_.report(AttemptRole::successor, terms_.attempt, KeeperEvent::failed, 0, why);
  host_.terminate(SEGUE_END_REFUSED);
}

void Successor::keeper_commits() {
  keeper_agrees_ = true;
  consider_commit(monotonic_ns());
}

void Successor::consider_commit(uint64_t now) {
  if (state_ != State::probation || !announced_ || commit_sent_ns_ != 0 || voted_bad_ ||
      host_.handing_over()) {
    return;
  }
  const uint64_t probation_end = activated_ns_ + terms_.probation_ns;
  if (now < probation_end) return;
  if (terms_.vote_required && !voted_good_) {
    if (host_.alone() && now - probation_end >= kVoteLimitNs) {
      (void)vote(false, "the service did not vote");
    }
    return;
  }
  const uint64_t waited = now - probation_end;
  const bool keeper_silent = std::min(waited, host_.keeper_silent_ns(now)) >= terms_.hang_ns;
  if (keeper_agrees_ || host_.alone() || keeper_silent) commit();
}

void Successor::commit() {
  if (fault("successor", "commit")) return;  // the next heartbeat tries again
  commit_sent_ns_ = monotonic_ns();
  send(FrameType::commit, {});
}

void Successor::finish_committed() {
  end_recording();
  receiver_.heaps().commit();
  committed_ = true;
  state_ = State::over;
  deadline_ = kNever;
  set_phase(SEGUE_PHASE_COMMITTED);
  host_.report(AttemptRole::successor, terms_.attempt, KeeperEvent::committed, 0, {});
}

void Successor::abort(const std::string& why) {
  if (state_ == State::probation || state_ == State::over) return;
  fail(why);
}

void Successor::fail(const std::string& why, bool tell_peer) {
  if (state_ == State::over || state_ == State::probation) return;
  if (std::exchange(acquired_, false)) host_.yield();
  if (tell_peer) {
    segue_writer out;
    put_number(out, 1, 1);
    put_field(out, 2, why);
    send(FrameType::abort, out.fields);
  }
  state_ = State::over;
  deadline_ = kNever;
  set_phase(SEGUE_PHASE_ENDED);
  host_.report(AttemptRole::successor, terms_.attempt, KeeperEvent::failed, 0, why);
  host_.terminate(SEGUE_END_REFUSED);
}

}  // namespace segue::handoff
