// SPDX-License-Identifier: Apache-2.0
// The successor's side of one handoff: a state machine driven by frames, time and death.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "handoff/host.h"
#include "handoff/link.h"
#include "handoff/receiver.h"
#include "handoff/recorder.h"
#include "handoff/terms.h"

namespace segue::handoff {

class Successor {
 public:
  // Sends HELLO. Of `terms`, what ACCEPT names is replaced by the predecessor's words.
  Successor(Host& host, UniqueFd link, UniqueFd predecessor_pidfd, Terms terms);

  [[nodiscard]] int link_fd() const { return link_.fd(); }
  [[nodiscard]] int pidfd() const { return pidfd_.get(); }
  [[nodiscard]] bool wants_read() const { return !link_closed_; }
  [[nodiscard]] bool wants_write() const { return link_.congested(); }
  [[nodiscard]] bool over() const { return state_ == State::over; }
  [[nodiscard]] bool has_work() const;
  [[nodiscard]] bool active() const { return state_ == State::probation; }
  [[nodiscard]] bool committed() const { return committed_; }
  // Of the predecessor, which may not have ended yet; once committed.
  UniqueFd take_pidfd() { return std::move(pidfd_); }
  [[nodiscard]] uint64_t attempt() const { return terms_.attempt; }
  [[nodiscard]] uint64_t deadline() const { return deadline_; }

  void on_link();
  void on_death();
  void on_time(uint64_t now);
  void work();  // a slice of what is large
  void abort(const std::string& why);

  // Probation.
  // SEGUE_STATE: a bad one, and the commit is under way.
  Status vote(bool good, const std::string& why);
  void keeper_commits();

 private:
  enum class State {
    accept,      // ACCEPT or REFUSE is awaited
    background,  // frames are applied
    armed,       // the foreground may follow: FINAL is awaited
    final,       // FINAL was complete, but the predecessor has not offered, or has to withdraw
    probation,   // active
    over
  };

  void on_message(Message& message);
  void on_accept(Message& message);
  void on_round(std::string_view payload);
  void answer_round();
  void on_mark();
  void on_rehearse();
  void end_rehearsal();
  void work_done();
  void show_life(uint64_t now);
  void on_final(std::string_view payload);
  void on_withdrawn();
  void on_journal(Message& message);
  void on_room(std::string_view payload);
  void spin();

  Status check_at_rest();
  void try_activate();
  void decline(DeclineCode code, const std::string& why);
  void become_active(bool first);
  void lose_predecessor(const std::string& why);
  Status inherit();
  bool start_clean();
  [[nodiscard]] uint64_t next_heartbeat(uint64_t now) const;
  void consider_commit(uint64_t now);
  void commit();
  void hand_back_by_ending(const std::string& why);
  void finish_committed();

  void begin_recording();
  void end_recording();
  void tell_accepted(segue_conn& conn);
  void tell_closed(uint64_t id);

  void send(FrameType type, std::string_view payload);
  void fail(const std::string& why, bool tell_peer = true);
  void set_phase(segue_phase phase);
  void update_progress();
  void wait_until(uint64_t duration_ns);

  Host& host_;
  Link link_;
  UniqueFd pidfd_;
  Terms terms_;
  Receiver receiver_;
  State state_ = State::accept;
  uint64_t deadline_ = kNever;
  std::atomic<bool> predecessor_gone_ = false;
  bool link_closed_ = false;  // but it may live
  std::string why_;

  OwnerName predecessor_ = kNobody;
  uint64_t apply_ns_ = 0;                                               // since the last ROUND_DONE
  enum class Owed { nothing, round, rehearsal } owed_ = Owed::nothing;  // when the work is done
  uint64_t round_ = 0;
  bool foreground_may_follow_ = false;
  uint64_t last_sign_ns_ = 0;
  uint32_t epoch_ = 0;  // of FINAL
  uint64_t freeze_ns_ = 0;
  uint64_t offer_deadline_ns_ = 0;
  bool acquired_ = false;
  bool provided_ = false;  // what only this version declares

  uint64_t activated_ns_ = 0;
  bool voted_good_ = false;
  bool keeper_agrees_ = false;
  bool voted_bad_ = false;
  std::string vote_why_;
  bool announced_ = false;       // ACTIVATED was sent
  uint64_t commit_sent_ns_ = 0;  // 0: not yet
  bool committed_ = false;

  std::unique_ptr<Recorder> recorder_;  // until it is the inventory's traffic
  Recorder* recording_ = nullptr;       // then
  // What follows is touched in turns of the service's loops only.
  uint64_t room_ = 0;                  // for descriptors, at the predecessor
  std::unordered_set<uint64_t> told_;  // accepted connections that it has
  std::vector<uint64_t> untold_;       // those that wait for room
};

}  // namespace segue::handoff
