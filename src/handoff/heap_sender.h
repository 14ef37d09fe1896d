// SPDX-License-Identifier: Apache-2.0
// The predecessor's side of heaps: hands out their memory, keeps digests current, and tells which
// slots have changed.
#pragma once

#include <string>
#include <vector>

#include "handoff/inventory.h"
#include "handoff/link.h"

namespace segue::handoff {

class HeapSender {
 public:
  HeapSender(Inventory& inventory, Link& link) : inventory_(inventory), link_(link) {}

  void begin_snapshot();
  // What has changed since the snapshot or the last round began.
  void begin_round();
  // A small part of it.
  Status step(bool& done);
  // Ends a round half-way: what was not sent counts as changed again.
  Status put_back();
  // All that was sent is one snapshot, which is kept until end_rehearsal().
  Status mark();
  void end_rehearsal();
  // Why the snapshot is gone before its time; empty where it is not.
  [[nodiscard]] std::string lost_rehearsal() const;
  // Digests are kept for a rehearsal only.
  void set_digesting(bool digesting) { digesting_ = digesting; }

  [[nodiscard]] uint64_t records() const { return records_; }
  [[nodiscard]] uint64_t descriptors() const { return descriptors_; }
  // Spent on digests, which a blackout does not need.
  [[nodiscard]] uint64_t digest_ns() const { return digest_ns_; }
  // For what has changed by now.
  [[nodiscard]] uint64_t predict_digest_ns() const;

 private:
  struct Round {
    std::vector<uint32_t> slots;
    uint32_t settled = 0;
  };
  Status hand_out(segue_heap& heap);
  Status slots_step(segue_heap& heap, bool& heap_done);
  Status slot(segue_heap& heap, uint32_t number, uint64_t& bytes);
  Status add_record(segue_heap& heap, uint32_t number);
  Status flush(const segue_heap& heap);

  Inventory& inventory_;
  Link& link_;
  bool digesting_ = true;
  bool snapshot_ = false;
  bool handed_out_ = false;
  size_t heap_at_ = 0;
  size_t slot_at_ = 0;
  size_t slot_end_ = 0;
  std::vector<Round> rounds_;  // by heap
  std::string slots_;          // batches being filled
  std::string puts_;
  segue_writer record_;
  uint64_t records_ = 0;
  uint64_t descriptors_ = 0;
  uint64_t digest_ns_ = 0;
  uint64_t digest_weight_ = 0;  // bytes, and so many for each record
};

}  // namespace segue::handoff
