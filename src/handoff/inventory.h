// SPDX-License-Identifier: Apache-2.0
// Everything that a service owns and that moves in a handoff, and what of it has changed since it
// was last sent. Changes are noted only while `tracking`.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "handoff/form.h"
#include "handoff/item.h"
#include "handoff/record_heap.h"
#include "handoff/status.h"
#include "handoff/unique_fd.h"

namespace segue::handoff {
class Inventory;

// The keys changed since the last round. Bounded: more end the handoff, not the service.
class DirtyKeys {
 public:
  static constexpr size_t kMaxKeys = size_t{1} << 24;

  void add(std::string_view key) {
    if (keys_.size() < kMaxKeys) {
      keys_.emplace(key);
    } else {
      overflowed_ = true;
    }
  }
  // True from a key that found no room until clear().
  [[nodiscard]] bool overflowed() const { return overflowed_; }
  [[nodiscard]] size_t size() const { return keys_.size(); }
  [[nodiscard]] const std::unordered_set<std::string>& keys() const { return keys_; }
  struct Taken {
    bool emptied = false;  // first
    std::unordered_set<std::string> keys;
  };
  Taken take() { return {std::exchange(emptied_, false), std::exchange(keys_, {})}; }
  // All records are gone: what was noted of them does not matter any more.
  void empty() {
    clear();
    emptied_ = true;
  }
  [[nodiscard]] bool emptied() const { return emptied_; }
  void clear() {
    keys_.clear();
    overflowed_ = false;
    emptied_ = false;
  }

 private:
  std::unordered_set<std::string> keys_;
  bool overflowed_ = false;
  bool emptied_ = false;
};

}  // namespace segue::handoff

struct segue_table : segue::handoff::Item {
  segue::handoff::Inventory* inventory = nullptr;
  segue::handoff::Form form;
  segue_table_ops ops{};
  uint32_t flags = 0;
  void* user = nullptr;
  segue::handoff::DirtyKeys dirty;
};

struct segue_class : segue::handoff::Item {
  segue::handoff::Inventory* inventory = nullptr;
  segue::handoff::Form form;
  segue_class_ops ops{};
  void* user = nullptr;
};

struct segue_conn {
  segue_class* cls = nullptr;
  int fd = -1;
  uint32_t slot = 0;
  uint32_t generation = 0;
  void* data = nullptr;
  uint32_t sent_in = 0;  // the handoff whose successor has its descriptor
  bool dirty = false;    // listed as such

  [[nodiscard]] uint64_t id() const { return uint64_t{generation} << 32 | slot; }
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

// Connections by slot; a slot is reused under a new generation.
class Connections {
 public:
  static constexpr uint32_t kMaxSlots = 1U << 24;

  ~Connections();

  // nullptr at kMaxSlots.
  segue_conn* add(segue_class* cls, int fd, void* data, bool tracking);
  // As the predecessor numbered it; nullptr if the slot is taken or beyond kMaxSlots.
  segue_conn* adopt(segue_class* cls, int fd, uint64_t id);
  [[nodiscard]] segue_conn* find(uint64_t id) const;
  void touch(segue_conn* conn);
  // Closes the descriptor and forgets it; notes it for a successor that has it.
  void remove(segue_conn* conn, bool tracking);

  [[nodiscard]] size_t count() const { return count_; }
  [[nodiscard]] uint32_t slot_count() const { return static_cast<uint32_t>(slots_.size()); }
  [[nodiscard]] segue_conn* at(uint32_t slot) const { return slots_[slot]; }

  [[nodiscard]] uint32_t generation() const { return generation_; }
  void raise_generation(uint32_t at_least);

  [[nodiscard]] bool is_sent(const segue_conn& conn) const { return conn.sent_in == handoff_; }
  void set_sent(segue_conn& conn) const { conn.sent_in = handoff_; }

  // What is to be sent since the last round.
  std::vector<uint64_t> fresh;
  std::vector<uint64_t> dirty;
  std::vector<uint64_t> closed;
  void forget_changes();

 private:
  std::vector<segue_conn*> slots_;
  std::vector<uint32_t> free_;  // may hold slots that were adopted since; checked when popped
  uint32_t generation_ = 0;
  uint32_t handoff_ = 1;  // raised with each handoff, so that no connection counts as sent
  size_t count_ = 0;
};

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
  std::vector<std::unique_ptr<segue_table>> tables;
  std::vector<std::unique_ptr<segue_class>> classes;
  std::vector<std::unique_ptr<segue_arena>> arenas;
  std::vector<std::unique_ptr<segue_heap>> heaps;
  std::vector<std::string>
      retired;  // names of a predecessor's items that this version does without
  Connections connections;
  NamedFds listeners;
  NamedFds descriptors;

  [[nodiscard]] bool tracking() const { return tracking_; }
  // Begins anew: nothing counts as sent.
  void track();
  void stop_tracking();
  bool rebuffing = false;
  // The successor knows TABLE_CLEAR.
  bool successor_clears = false;

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
  void forget_changes();
  bool tracking_ = false;
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
