// SPDX-License-Identifier: Apache-2.0
// A heap in memory that is lent to it: records in blocks, found by slot. Pure. Another process may
// have written every byte of it, and may still: whatever is read is checked before it is used, each
// time. A status of SEGUE_PEER means that a record or the heap is damaged.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "handoff/heap_layout.h"
#include "handoff/status.h"

namespace segue::handoff {

class HeapImage {
 public:
  struct Record {
    uint32_t slot = 0;
    uint32_t type = 0;
    uint64_t id = 0;
    uint32_t size = 0;
    char* data = nullptr;
  };

  HeapImage() = default;
  // `memory` of places.total bytes, aligned to a page; it stays the caller's.
  HeapImage(void* memory, const HeapPlaces& places)
      : memory_(static_cast<char*>(memory)), places_(places) {}
  [[nodiscard]] bool valid() const { return memory_ != nullptr; }
  [[nodiscard]] const HeapPlaces& places() const { return places_; }
  [[nodiscard]] char* memory() const { return memory_; }

  // Makes it empty. The memory must be zero.
  void format(uint32_t form_version);
  // Says what is wrong with the header; good if it can be worked with.
  [[nodiscard]] Status inspect(uint32_t form_version) const;

  // ---- Records. SEGUE_GONE: there is no such record. SEGUE_LIMIT: the heap, or its log, is full.
  segue_status alloc(uint32_t type, uint64_t size, Record& record);
  segue_status find(uint64_t id, Record& record) const;
  // Call it before changing the record's bytes.
  segue_status write(uint64_t id, Record& record);
  // Keeps what fits; what is beyond is not cleared.
  segue_status resize(uint64_t id, uint64_t size, Record& record);
  segue_status free(uint64_t id);
  // The first record in a slot from `slot` on; SEGUE_GONE at the end.
  segue_status next(uint32_t slot, Record& record) const;

  // ---- Slots, as a successor mirrors them
  [[nodiscard]] uint32_t slot_count() const;
  [[nodiscard]] HeapSlot slot(uint32_t number) const;  // below slot_count(), else a free one
  // The block that a slot points to.
  segue_status block(const HeapSlot& slot, uint32_t number, Record& record) const;
  // Puts a record into this very slot, in the place of what is there.
  segue_status place(uint32_t number, uint32_t generation, uint32_t type, std::string_view bytes);
  segue_status vacate(uint32_t number, uint32_t generation);

  // ---- Changes
  // True from the first change of a record or slot in a generation until the next generation.
  [[nodiscard]] uint32_t generation() const { return load(header().generation); }
  uint32_t next_generation();
  // From here on the first change of everything is logged before.
  void open_epoch();
  // Changes are logged for `epoch` (0: for none, and the log is empty again).
  void return_to_epoch(uint32_t epoch);
  [[nodiscard]] uint32_t epoch() const { return load(header().epoch); }
  [[nodiscard]] uint64_t log_end() const { return load(header().log_end); }
  // Reads the entry at `at` and moves on; SEGUE_GONE at the end of the log.
  segue_status log_entry(uint64_t& at, LogEntry& entry, std::string_view& bytes) const;
  // Puts back all that was logged since, and the header.
  segue_status undo(const HeapHeader& before);
  // Whether a change that finds the log full ends the epoch instead of being refused.
  void let_log_be_dropped(bool may) { log_may_be_dropped_ = may; }
  // Since the epoch was opened.
  [[nodiscard]] bool log_was_dropped() const { return log_was_dropped_; }
  // Up to where the log was once used, and is not any more, since the last call.
  uint64_t take_spent_log_end() { return std::exchange(spent_log_end_, 0); }
  // From here on it is marked in the header while a change is under way.
  void mark_work() { store(header().work, HeapWork::at_rest); }
  void stop_marking_work() { store(header().work, HeapWork::unmarked); }
  // Of a heap that is marked: nobody was killed in the middle of a change.
  [[nodiscard]] bool was_left_whole() const { return load(header().work) == HeapWork::at_rest; }
  // The slots changed since the last take(); to be set before the first change.
  void note_changes(std::vector<uint32_t>* changed) { changed_ = changed; }

  // ---- Digests
  static uint64_t digest(uint64_t id, uint32_t type, std::string_view bytes);
  // Brings the digest of a slot up to date where it has none.
  segue_status refresh_digest(uint32_t number);
  [[nodiscard]] uint64_t digest_sum() const { return load(header().digest_sum); }

  [[nodiscard]] HeapHeader header_copy() const { return header(); }
  [[nodiscard]] uint64_t root() const { return load(header().root); }
  void set_root(uint64_t id) { store(header().root, id); }
  // Bytes of the arena that a copy of all records would need at most.
  [[nodiscard]] uint64_t data_used() const;

  static bool slot_in(const HeapPlaces& places, uint32_t count) {
    return count <= places.slot_capacity;
  }

 private:
  // Another process looks at the same memory.
  template <typename T>
  static T load(const T& place) {
    return __atomic_load_n(&place, __ATOMIC_RELAXED);
  }
  template <typename T>
  static void store(T& place, T value) {
    __atomic_store_n(&place, value, __ATOMIC_RELAXED);
  }

  [[nodiscard]] HeapHeader& header() const { return *reinterpret_cast<HeapHeader*>(memory_); }
  [[nodiscard]] HeapSlot& slot_at(uint32_t number) const {
    return reinterpret_cast<HeapSlot*>(memory_ + HeapPlaces::kSlotsAt)[number];
  }
  [[nodiscard]] HeapBlock& block_at(uint64_t offset) const {
    return *reinterpret_cast<HeapBlock*>(memory_ + offset);
  }
  [[nodiscard]] uint64_t& link_of(uint64_t offset) const {
    return *reinterpret_cast<uint64_t*>(memory_ + offset + sizeof(HeapBlock));
  }
  [[nodiscard]] bool is_block(uint64_t offset) const;
  // As it was when it was checked: the slot may say something else by now.
  [[nodiscard]] uint64_t offset_of(const Record& record) const {
    return static_cast<uint64_t>(record.data - memory_) - sizeof(HeapBlock);
  }

  // While a change is under way. A dead process's writes are seen in the order of its program, so
  // only the compiler has to keep to it.
  class Marked {
   public:
    explicit Marked(HeapImage& image) : header_(image.header()) {
      marks_ = load(header_.work) == HeapWork::at_rest;
      if (marks_) store(header_.work, HeapWork::under_way);
      __atomic_signal_fence(__ATOMIC_SEQ_CST);
    }
    ~Marked() {
      __atomic_signal_fence(__ATOMIC_SEQ_CST);
      if (marks_) store(header_.work, HeapWork::at_rest);
    }
    Marked(const Marked&) = delete;
    Marked& operator=(const Marked&) = delete;

   private:
    HeapHeader& header_;
    bool marks_ = false;
  };

  segue_status change(const Record& record);
  void touch(uint32_t number);
  void forget_digest(HeapSlot& slot);
  segue_status take_block(uint64_t size, uint64_t& offset);
  segue_status find_block(uint32_t wanted, uint64_t& offset);
  segue_status pop_block(uint32_t block_class, uint64_t& offset);
  segue_status split_block(uint32_t wanted, uint64_t& offset);
  void cut_up(uint64_t at, uint64_t end);
  segue_status merge_blocks();
  void push_block(uint64_t offset, uint32_t block_class);
  segue_status take_slot(uint32_t& number);
  segue_status unlink_slot(uint32_t number);
  void link_slot(uint32_t number);
  segue_status grow_slots(uint32_t count);
  void fill(uint32_t number, uint64_t offset, uint32_t type, uint64_t size);

  segue_status log(LogEntry entry);
  segue_status log_slot(uint32_t number);
  segue_status log_bytes(uint64_t offset, uint64_t length);
  [[nodiscard]] bool log_has_room(uint64_t end, uint64_t bytes) const;
  // Where changes are not logged there is always room.
  bool make_log_room(uint64_t bytes);
  void spend_log(uint64_t end);

  char* memory_ = nullptr;
  HeapPlaces places_;
  std::vector<uint32_t>* changed_ = nullptr;
  bool freed_since_merge_ = true;
  bool log_may_be_dropped_ = false;
  bool log_was_dropped_ = false;
  uint64_t spent_log_end_ = 0;
};

}  // namespace segue::handoff
