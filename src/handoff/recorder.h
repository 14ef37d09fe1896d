// SPDX-License-Identifier: Apache-2.0
// The successor's side of the journal: does what the service asks for, and records it.
#pragma once

#include <cstdint>
#include <functional>
#include <unordered_map>
#include <unordered_set>

#include "handoff/journal.h"
#include "handoff/journal_memory.h"
#include "handoff/siphash.h"
#include "handoff/traffic.h"

namespace segue::handoff {

class Recorder final : public Traffic {
 public:
  // Tells the predecessor of a connection that was accepted, with its descriptor; or that one of
  // these was closed.
  struct Outlet {
    std::function<void(segue_conn& conn)> accepted;
    std::function<void(uint64_t id)> closed;
  };
  enum class What { everything, connections_used };
  Recorder(What what, JournalMemory memory, Outlet outlet);

  // Nothing was used yet. Needed again where an activation did not happen.
  void begin() { writer_.begin(); }
  // From here on this process uses no connection any more: it is about to end, and the predecessor
  // goes on with what the journal says.
  void stop();
  // The journal does not tell all any more.
  void give_up(JournalState why);
  [[nodiscard]] JournalState state() const { return writer_.state(); }

  ssize_t read(segue_conn& conn, void* data, size_t size) override;
  ssize_t write(segue_conn& conn, const void* data, size_t size) override;
  size_t note(uint32_t tag, void* data, size_t size, size_t capacity) override;
  void opened(segue_conn& conn) override;
  void closing(segue_conn& conn, segue_close_how how) override;
  void hand_on() override { give_up(JournalState::given_up); }
  [[nodiscard]] bool replaying() const override { return false; }

 private:
  // True if what follows can be recorded: the totals before the first use are.
  bool meet(const segue_conn& conn);
  bool keep(bool written);

  What what_;
  JournalMemory memory_;
  JournalWriter writer_;
  Outlet outlet_;
  uint64_t key0_ = 0;
  uint64_t key1_ = 0;
  bool stopped_ = false;
  std::unordered_map<uint64_t, SipStream> sent_;  // of each connection used so far
  std::unordered_set<uint64_t> accepted_;
};

}  // namespace segue::handoff
