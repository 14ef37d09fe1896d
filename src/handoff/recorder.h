// SPDX-License-Identifier: Apache-2.0
// The successor's side of the journal: does what the service asks for, and records it. Several
// event loops come in turns, so that the journal is one row of what they did, as one loop would
// have done it.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <unordered_map>
#include <unordered_set>

#include "handoff/journal.h"
#include "handoff/journal_memory.h"
#include "handoff/siphash.h"
#include "handoff/traffic.h"
#include "handoff/turns.h"

namespace segue::handoff {

class Recorder final : public Traffic {
 public:
  // Tells the predecessor of a connection that was accepted, with its descriptor; or that one of
  // these was closed. Called in a turn, on its thread.
  struct Outlet {
    std::function<void(segue_conn& conn)> accepted;
    std::function<void(uint64_t id)> closed;
  };
  enum class What { everything, connections_used };
  Recorder(What what, JournalMemory memory, Outlet outlet, Turns& turns);

  // Nothing was used yet. Needed again where an activation did not happen.
  void begin();
  // From here on this process uses no connection any more: it is about to end, and the predecessor
  // goes on with what the journal says. Waits for the end of a turn.
  void stop();
  // The commit has come: nothing is recorded any more, and the journal is let go. Likewise.
  void end();

  ssize_t read(segue_conn& conn, void* data, size_t size) override;
  ssize_t write(segue_conn& conn, const void* data, size_t size) override;
  size_t note(uint32_t tag, void* data, size_t size, size_t capacity) override;
  void opened(segue_conn& conn) override;
  void closing(segue_conn& conn, segue_close_how how) override;
  void hand_on() override;
  [[nodiscard]] bool replaying() const override { return false; }
  bool begin_turn() override;

 private:
  // False, and the record ends, where a loop is outside its turns: the journal does not tell in
  // which order. Never waits, as the caller may hold locks of the service.
  bool in_turn();
  // The journal does not tell all any more. Any thread.
  void give_up(JournalState why);
  [[nodiscard]] bool keeps() const { return ordered_.load(std::memory_order_relaxed); }
  // True if what follows can be recorded: the totals before the first use are.
  bool meet(const segue_conn& conn);
  bool keep(bool written);

  What what_;
  JournalMemory memory_;
  JournalWriter writer_;
  Outlet outlet_;
  Turns& turns_;
  uint64_t key0_ = 0;
  uint64_t key1_ = 0;
  std::atomic<bool> ordered_ = false;  // the journal is kept, and turns are waited for
  std::mutex ending_;                  // of the record: its word lies in memory that goes with it
  std::atomic<bool> stopped_ = false;
  std::unordered_map<uint64_t, SipStream> sent_;  // of each connection used so far
  std::unordered_set<uint64_t> accepted_;
};

}  // namespace segue::handoff
