// SPDX-License-Identifier: Apache-2.0
// Everything that a service owns and that moves in a handoff, and what of it has changed since it
// was last sent. Changes are noted only while `tracking`.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "handoff/connections.h"
#include "handoff/form.h"
#include "handoff/guard.h"
#include "handoff/item.h"
#include "handoff/loops.h"
#include "handoff/operations.h"
#include "handoff/record_heap.h"
#include "handoff/status.h"
#include "handoff/traffic.h"
#include "handoff/unique_fd.h"

namespace segue::handoff {
class Inventory;

// The keys changed since the last round. Bounded: more end the handoff, not the service. Safe for
// several threads once share() was called.
class DirtyKeys {
 public:
  static constexpr size_t kMaxKeys = size_t{1} << 24;

  void share() { guard_.enable(); }

  void add(std::string_view key) {
    const Guarded guarded(guard_);
    if (keys_.size() < kMaxKeys) {
      keys_.emplace(key);
    } else {
      overflowed_ = true;
    }
  }
  // True from a key that found no room until clear().
  [[nodiscard]] bool overflowed() const {
    const Guarded guarded(guard_);
    return overflowed_;
  }
  [[nodiscard]] size_t size() const {
    const Guarded guarded(guard_);
    return keys_.size();
  }
  template <typename Visit>
  void each(Visit visit) const {
    const Guarded guarded(guard_);
    for (const std::string& key : keys_) visit(key);
  }
  struct Taken {
    bool emptied = false;  // first
    std::unordered_set<std::string> keys;
  };
  Taken take() {
    const Guarded guarded(guard_);
    return {std::exchange(emptied_, false), std::exchange(keys_, {})};
  }
  // All records are gone: what was noted of them does not matter any more.
  void empty() {
    const Guarded guarded(guard_);
    keys_.clear();
    overflowed_ = false;
    emptied_ = true;
  }
  [[nodiscard]] bool emptied() const {
    const Guarded guarded(guard_);
    return emptied_;
  }
  void clear() {
    const Guarded guarded(guard_);
    keys_.clear();
    overflowed_ = false;
    emptied_ = false;
  }

 private:
  mutable Guard guard_;
  std::unordered_set<std::string> keys_;
  bool overflowed_ = false;
  bool emptied_ = false;
};

}  // namespace segue::handoff

struct segue_table : segue::handoff::Item {
  const segue_instance* instance = nullptr;
  segue::handoff::Inventory* inventory = nullptr;
  segue::handoff::Form form;
  segue_table_ops ops{};
  uint32_t flags = 0;
  void* user = nullptr;
  segue::handoff::LoopNumber loop = segue::handoff::kInstanceThread;
  segue::handoff::DirtyKeys dirty;
};

struct segue_class : segue::handoff::Item {
  segue::handoff::Inventory* inventory = nullptr;
  segue::handoff::Form form;
  segue_class_ops ops{};
  void* user = nullptr;

  [[nodiscard]] bool can_replay() const {
    return ops.readable != nullptr && ops.writable != nullptr && ops.accepted != nullptr &&
           ops.drop != nullptr;
  }
};

struct segue_arena : segue::handoff::Item {
  uint32_t form_version = 0;
  size_t max_size = 0;
  size_t used = 0;
  size_t populated = 0;  // pages touched from the start, here
  segue_arena_check check = nullptr;
  void* check_user = nullptr;
  size_t sent_used = SIZE_MAX;  // what the successor was told
  bool sent = false;
  segue::handoff::UniqueFd fd;
  void* data = nullptr;

  ~segue_arena();
};

struct segue_scan {
  std::vector<std::string>* keys = nullptr;
};

namespace segue::handoff {

// Listeners, or other descriptors, by name.
class NamedFds {
 public:
  struct Entry {
    std::string name;
    UniqueFd fd;
    bool sent = false;
  };
  void put(const std::string& name, UniqueFd fd, bool tracking);
  bool remove(const std::string& name, bool tracking);
  [[nodiscard]] Entry* find(const std::string& name);

  std::vector<Entry> entries;
  std::vector<std::string> removed;  // since the last round
  size_t unsent() const;
  void forget_changes();
};

class Inventory {
 public:
  explicit Inventory(Loops::Patience patience = {}) : loops(patience) {}
  ~Inventory();

  std::vector<std::unique_ptr<segue_table>> tables;
  std::vector<std::unique_ptr<segue_class>> classes;
  std::vector<std::unique_ptr<segue_arena>> arenas;
  std::vector<std::unique_ptr<segue_heap>> heaps;
  std::vector<std::string>
      retired;  // names of a predecessor's items that this version does without
  Loops loops;
  Operations operations;
  Connections connections;
  NamedFds listeners;
  NamedFds descriptors;

  // Any thread. Who changes a record and then finds false here need not tell: a scan that begins
  // later sees the change.
  [[nodiscard]] bool tracking() const { return tracking_.load(std::memory_order_acquire); }
  // Several threads will tell of changes, from now on.
  void share();
  // The service has loops, or operations that may end on any thread.
  [[nodiscard]] bool is_shared() const { return loops.count() > 0 || operations.ended_fd() >= 0; }
  // Begins anew: nothing counts as sent.
  void track();
  void stop_tracking();
  std::atomic<bool> rebuffing = false;
  // The successor knows TABLE_CLEAR.
  bool successor_clears = false;

  // While the connections' traffic is recorded, or done again.
  TrafficSlot traffic;

  // Records and descriptors that a round would send now.
  [[nodiscard]] size_t changes() const;
  // Without what needs no work while frozen: digests of heaps that are mapped.
  [[nodiscard]] size_t changes_in_blackout() const;
  [[nodiscard]] bool overflowed() const;
  // How many descriptors a successor must be able to take.
  [[nodiscard]] size_t descriptor_count() const;

  // From `activate` to `freeze` and from `resume` on, heaps may be written to.
  void let_heaps_be_written(bool writable);

  // Removes what was received. False if a table has no `clear`.
  bool clear();

 private:
  void forget_changes(bool track);
  [[nodiscard]] size_t changes_beside_heaps() const;
  std::atomic<bool> tracking_ = false;
};

// The record of `key` in the agreed version of its form; SEGUE_GONE if there is none.
Status encode_wire(const segue_table& table, std::string_view key, segue_writer& out);
Status encode_wire(segue_conn& conn, segue_writer& out);

// Creates (max_size set) or maps (fd set) the memory.
Status create_arena(segue_arena& arena);
Status map_arena(segue_arena& arena, UniqueFd fd);
// Asks the service's own checks.
Status check_arenas(const Inventory& inventory);
// Touches the used pages that were not yet, so that a write after activation does not fault.
void populate_arena(segue_arena& arena);

}  // namespace segue::handoff
