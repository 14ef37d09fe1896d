// SPDX-License-Identifier: Apache-2.0
// The predecessor's side of one handoff: a state machine driven by frames, time and death.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "handoff/host.h"
#include "handoff/journal_memory.h"
#include "handoff/link.h"
#include "handoff/replay.h"
#include "handoff/sender.h"
#include "handoff/terms.h"

namespace segue::handoff {

class Predecessor {
 public:
  Predecessor(Host& host, UniqueFd link, UniqueFd successor_pidfd, Terms terms);

  [[nodiscard]] int link_fd() const { return link_.fd(); }
  [[nodiscard]] int pidfd() const { return pidfd_.get(); }
  [[nodiscard]] bool wants_read() const { return !link_lost_; }
  [[nodiscard]] bool wants_death() const { return !successor_dead_; }
  [[nodiscard]] bool wants_write() const { return !link_lost_ && link_.congested(); }
  [[nodiscard]] bool has_work() const;
  [[nodiscard]] bool over() const { return state_ == State::over; }
  [[nodiscard]] bool frozen() const { return frozen_since_ != 0; }
  [[nodiscard]] uint64_t attempt() const { return terms_.attempt; }
  // When on_time() is due; kNever if nothing is.
  [[nodiscard]] uint64_t deadline() const {
    return awaited_loop_ == kInstanceThread ? deadline_ : std::min(deadline_, loop_deadline_);
  }

  void on_link();   // readable or writable
  void on_death();  // the pidfd is readable
  void on_time(uint64_t now);
  void work();      // a slice of background work
  void on_offer();  // one of the service's loops has offered itself
  void on_operations_ended();
  // Ends it if the successor is not active yet.
  void abort(const std::string& why);

 private:
  enum class State {
    hello,       // HELLO is awaited
    ready,       // READY is awaited
    sending,     // a snapshot or a round goes out in slices
    round,       // ROUND_DONE is awaited
    digests,     // the rehearsal's digests go out in slices
    rehearsal,   // REHEARSED is awaited
    draining,    // serving; operations in flight are awaited, then the foreground follows
    offered,     // frozen; ACTIVATED or DECLINE is awaited
    taken_back,  // withdrawn at the deadline; DECLINE is awaited, frozen if `release` was called
    pausing,     // serving; the next round begins soon, when no loop of the service is late
    fencing,     // frozen; the successor was killed and its death is awaited, then serve
    probation,   // frozen; the successor is active
    over
  };

  void on_message(Message& message);
  void on_hello(std::string_view hello);
  Status check_hello(std::string_view hello, std::string& items);
  Status accept(const std::string& items);
  void on_round_done(std::string_view payload);
  void on_rehearsed(std::string_view payload);
  void on_activated(std::string_view payload);
  void on_decline(std::string_view payload);
  void on_commit();

  void begin_snapshot();
  void begin_round();
  void wait_for_round();
  void end_round();
  void after_round();
  void begin_rehearsal();
  void end_digests();
  void check_rehearsal();
  [[nodiscard]] uint64_t predict(size_t changes) const;
  bool few_enough_to_send_at_once(size_t changes);
  void next_round_or_give_up(const std::string& why);
  bool borrow_loop(LoopNumber& borrowed);
  Status gather_loops();
  void retry_when_loops_are_back(const std::string& why);
  [[nodiscard]] std::string still_in_flight() const;
  void end_pause(uint64_t now);

  void enter_foreground();
  void freeze();
  Status offer();
  [[nodiscard]] uint64_t offer_deadline() const;
  // Serves again. The epoch rises, so nothing that was offered can be taken any more.
  bool withdraw();
  bool take_back(segue_resume_reason reason);
  void thaw(segue_resume_reason reason);
  void withdraw_at_deadline(const std::string& why);
  void note_activation(std::string_view payload);
  void fail_sending(const Status& status);
  void lose_successor(const std::string& why);
  void fence(const std::string& why);
  [[nodiscard]] uint64_t fence_interval() const;
  void ask_to_fence_again(uint64_t now);
  void reclaim(bool waited);
  Status undo_heaps();

  void offer_journal();
  void offer_room();
  void keep_accepted(Message& message);
  void forget_accepted(std::string_view payload);
  bool replay();
  void end_for_restart(const std::string& why);
  [[nodiscard]] size_t accepted_by_successor() const;
  bool arenas_are_usable(std::string& why);
  void close_used_connections();

  void send(FrameType type, std::string_view payload);
  void fail(const std::string& reason);
  void end(const std::string& why);
  void finish();
  void set_phase(segue_phase phase);
  void update_progress();
  void wait_until(uint64_t duration_ns);

  Host& host_;
  Link link_;
  UniqueFd pidfd_;
  Terms terms_;
  Sender sender_;
  State state_ = State::hello;
  uint64_t deadline_ = kNever;
  uint64_t background_deadline_ = kNever;
  uint64_t loop_deadline_ = kNever;  // while a loop of the service is awaited
  LoopNumber awaited_loop_ = kInstanceThread;

  uint32_t epoch_ = 0;
  uint32_t rounds_ = 0;
  uint32_t freezes_ = 0;
  bool rehearsed_ = false;
  bool snapshot_sent_ = false;
  bool may_follow_ = false;    // the last ROUND announced the foreground
  uint64_t frozen_since_ = 0;  // 0: not frozen
  uint64_t drained_since_ = 0;
  bool released_ = false;
  std::string why_;  // of the fencing under way
  uint64_t fence_limit_ns_ = 0;
  std::string abort_why_;  // asked for while the offer could not be taken back at once
  bool successor_dead_ = false;
  bool link_lost_ = false;

  JournalMemory journal_;  // what the successor does in probation
  bool room_offered_ = false;
  size_t room_ = 0;  // for descriptors that the successor accepts
  AcceptedFds accepted_;

  // For the prediction.
  uint64_t send_started_ = 0;
  uint64_t send_spent_ns_ = 0;
  uint64_t records_before_ = 0;
  uint64_t ns_per_record_ = 0;
  uint64_t fixed_ns_;  // the part of a blackout that does not depend on the changes
};

}  // namespace segue::handoff
