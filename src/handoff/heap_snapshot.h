// SPDX-License-Identifier: Apache-2.0
// Reads a heap that another process is writing.
#pragma once

#include <string>
#include <unordered_map>

#include "handoff/heap_image.h"

namespace segue::handoff {

// Reads records as they were when everything up to one generation had been written.
class HeapReader {
 public:
  struct Record {
    uint64_t id = 0;  // of a free slot: the id that its next record would have
    uint32_t type = 0;
    bool there = false;
    bool has_digest = false;
    uint64_t digest = 0;
    std::string bytes;
  };

  HeapReader() = default;
  explicit HeapReader(const HeapImage& image) : image_(image) {}

  // Changes of a later generation are not looked at.
  void settle(uint32_t generation) { settled_ = generation; }
  // From here on what was changed later is read from the log, which begins at `log_start`.
  void fix(uint32_t generation, uint32_t slot_count, uint64_t log_start);
  uint64_t root = 0;  // at that moment
  void release();
  [[nodiscard]] bool fixed() const { return fixed_; }
  [[nodiscard]] uint32_t slot_count() const { return slot_count_; }

  // SEGUE_STATE: it is being changed (never where fixed()). SEGUE_PEER: damaged.
  segue_status read(uint32_t number, Record& record);

 private:
  segue_status read_now(uint32_t number, Record& record) const;
  segue_status read_log(uint32_t number, Record& record);

  HeapImage image_;
  uint32_t settled_ = 0;
  bool fixed_ = false;
  uint32_t slot_count_ = 0;
  uint64_t scanned_to_ = 0;
  std::unordered_map<uint32_t, uint64_t> logged_;  // slot → its oldest entry
};

}  // namespace segue::handoff
