// SPDX-License-Identifier: Apache-2.0
// Connections by slot; a slot is reused under a new generation. Safe for several threads once
// share() was called; who may use a segue_conn itself is the service's order: the thread of the
// loop that it is bound to.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "handoff/guard.h"
#include "handoff/loops.h"
#include "segue/segue.h"

struct segue_conn {
  segue_class* cls = nullptr;
  int fd = -1;
  uint32_t slot = 0;
  uint32_t generation = 0;
  void* data = nullptr;
  segue::handoff::LoopNumber loop = segue::handoff::kInstanceThread;
  uint32_t sent_in = 0;  // the handoff whose successor has its descriptor
  bool dirty = false;    // listed as such

  [[nodiscard]] uint64_t id() const { return uint64_t{generation} << 32 | slot; }
};

namespace segue::handoff {

class Connections {
 public:
  static constexpr uint32_t kMaxSlots = 1U << 24;

  ~Connections();

  // Several threads will call, from now on.
  void share() { guard_.enable(); }

  // Changes are noted only while tracking. Beginning and ending it forgets them: nothing counts as
  // sent any more.
  void track(bool on);

  // nullptr at kMaxSlots.
  segue_conn* add(segue_class* cls, LoopNumber loop, int fd, void* data);
  // As the predecessor numbered it; nullptr if the slot is taken or beyond kMaxSlots.
  segue_conn* adopt(segue_class* cls, int fd, uint64_t id);
  void bind(segue_conn* conn, LoopNumber loop);
  [[nodiscard]] segue_conn* find(uint64_t id) const;
  // The connection if it is there and bound to `loop`; one bound elsewhere counts as changed again.
  [[nodiscard]] segue_conn* find_changed(uint64_t id, LoopNumber loop);
  void touch(segue_conn* conn);
  // Closes the descriptor and forgets it; notes it for a successor that has it.
  void remove(segue_conn* conn);

  [[nodiscard]] size_t count() const;
  [[nodiscard]] uint32_t slot_count() const;
  [[nodiscard]] segue_conn* at(uint32_t slot) const;
  // Of each one there is, whatever other threads add and remove meanwhile: visit(class,
  // descriptor).
  template <typename Visit>
  void each(Visit visit) const {
    for (uint32_t from = 0; from < slot_count(); from += kSlotsPerSeek) {
      const Guarded guarded(guard_);
      const uint64_t end = std::min<uint64_t>(slots_.size(), uint64_t{from} + kSlotsPerSeek);
      for (uint64_t slot = from; slot < end; ++slot) {
        if (const segue_conn* conn = slots_[slot]) visit(*conn->cls, conn->fd);
      }
    }
  }
  [[nodiscard]] uint32_t generation() const;
  void raise_generation(uint32_t at_least);

  [[nodiscard]] bool is_sent(const segue_conn& conn) const;
  void set_sent(segue_conn& conn);

  // The next connection bound to `loop` at or behind `slot`: one that the successor does not have,
  // or (`sent`) one that it has as it is. Moves `slot` on to it, by at most kSlotsPerSeek.
  static constexpr uint32_t kSlotsPerSeek = 1024;
  [[nodiscard]] segue_conn* seek(uint32_t& slot, LoopNumber loop, bool sent) const;

  // What is to be sent since the last round, and how many that are.
  [[nodiscard]] size_t changes() const;
  [[nodiscard]] std::vector<uint64_t> take_closed();
  // New and changed ones, by the loop they are bound to.
  [[nodiscard]] std::vector<std::vector<uint64_t>> take_changed(LoopNumber loops);
  // It counts as changed again.
  void put_back(uint64_t id);
  // Those that no longer are as they were sent.
  [[nodiscard]] std::vector<uint64_t> changed_since() const;

 private:
  [[nodiscard]] segue_conn* look_up(uint64_t id) const;
  void note_changed(segue_conn& conn);
  [[nodiscard]] bool has_sent(const segue_conn& conn) const { return conn.sent_in == handoff_; }

  mutable Guard guard_;
  bool tracking_ = false;
  std::vector<segue_conn*> slots_;
  std::vector<uint32_t> free_;  // may hold slots that were adopted since; checked when popped
  std::vector<uint64_t> fresh_;
  std::vector<uint64_t> dirty_;
  std::vector<uint64_t> closed_;
  uint32_t generation_ = 0;
  uint32_t handoff_ = 1;  // raised with each handoff, so that no connection counts as sent
  size_t count_ = 0;
};

}  // namespace segue::handoff
