// SPDX-License-Identifier: Apache-2.0
// The successor's side of heaps: maps what the predecessor hands out, converts where the forms
// differ, verifies in the rehearsal. Large parts are done in slices, by work().
#pragma once

#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "handoff/heap_snapshot.h"
#include "handoff/inventory.h"
#include "handoff/link.h"
#include "handoff/memory_room.h"

namespace segue::handoff {

// A record that is not the same on both sides.
struct Difference {
  std::string item;
  std::string key;
  std::string what;  // empty: none
};

class HeapReceiver {
 public:
  ~HeapReceiver();

  // An item of ACCEPT. prepare() follows the last one: it refuses what does not fit into `room`,
  // and makes the arenas that records are converted into.
  Status agree(segue_heap& heap, std::string_view record);
  Status prepare(const MemoryRoom& room);

  Status apply(FrameType type, segue_heap& heap, std::string_view payload, UniqueFd* fd);
  [[nodiscard]] uint64_t records() const { return records_; }

  // True while there is something for work(): before the first round is answered, in the rehearsal,
  // and again when the predecessor's arena is not needed any more.
  [[nodiscard]] bool has_work() const;
  Status work(uint64_t until_ns);

  // The rehearsal: has_work() until every record is verified; `difference` says which is not good.
  void begin_verification();
  [[nodiscard]] const Difference& difference() const { return difference_; }
  // The mark is not needed any more.
  void end_rehearsal();

  // At FINAL: everything is at rest. Looks at what only then can be looked at, briefly.
  Status finish();
  // This process serves: keep a way back, let go of the predecessor's arenas by and by.
  void activate();
  void commit();

 private:
  struct Incoming {
    segue_heap* heap = nullptr;
    HeapPlaces places;  // the predecessor's
    uint64_t need_bytes = 0;
    HeapMemory source;  // not of way mapped
    HeapImage image;    // the predecessor's
    HeapReader reader;
    bool here = false;
    uint64_t walk_at = 0;  // a slot, or a place in the memory
    uint64_t walk_end = 0;
    uint64_t extent_end = 0;               // of the pages that hold something, from walk_at on
    std::unordered_set<uint32_t> skipped;  // changing when they were to be read
    uint64_t verify_at = 0;
    uint64_t verify_end = 0;
    uint64_t verified = 0;
    uint64_t sum = 0;
    uint64_t expected_records = 0;
    uint64_t expected_sum = 0;
  };

  Incoming* find(const segue_heap& heap);
  Status arrive(Incoming& in, std::string_view payload, UniqueFd* fd);
  Status slots(Incoming& in, std::string_view payload);
  Status put(Incoming& in, std::string_view payload);
  Status mark(Incoming& in, std::string_view payload);
  Status take_slot(Incoming& in, uint32_t number);
  Status take(Incoming& in, const HeapReader::Record& record);
  Status walk(Incoming& in);
  static void populate(Incoming& in);
  static bool find_extent(Incoming& in);
  Status verify(Incoming& in);
  Status verify_slot(Incoming& in, uint32_t number);
  Status verify_converted(Incoming& in, uint32_t number, const HeapReader::Record& record);
  void verify_totals(const Incoming& in);
  void differs(const Incoming& in, uint64_t id, const char* what);

  std::vector<std::unique_ptr<Incoming>> incoming_;
  bool verifying_ = false;
  bool letting_go_ = false;
  Difference difference_;
  uint64_t records_ = 0;
  HeapReader::Record record_;
  segue_writer writer_;
};

}  // namespace segue::handoff
