// SPDX-License-Identifier: Apache-2.0
#include "handoff/heap_snapshot.h"

#include <cstring>

namespace segue::handoff {

void HeapReader::fix(uint32_t generation, uint32_t slot_count, uint64_t log_start) {
  settled_ = generation;
  fixed_ = true;
  slot_count_ = slot_count;
  scanned_to_ = log_start;
  logged_.clear();
}

void HeapReader::release() {
  fixed_ = false;
  logged_.clear();
}

segue_status HeapReader::read(uint32_t number, Record& record) {
  if (fixed_ && number >= slot_count_) {
    record = {heap_id(number, 1), 0, false, false, 0, {}};
    return SEGUE_OK;
  }
  const segue_status status = read_now(number, record);
  if (status != SEGUE_STATE || !fixed_) return status;
  return read_log(number, record);
}

segue_status HeapReader::read_now(uint32_t number, Record& record) const {
  const HeapSlot slot = image_.slot(number);
  // Generations are compared by distance: they wrap.
  const auto is_later = [this](uint32_t stamp) {
    return static_cast<int32_t>(stamp - settled_) > 0;
  };
  if (is_later(slot.stamp)) return SEGUE_STATE;
  HeapImage::Record there;
  segue_status status = image_.block(slot, number, there);
  if (status == SEGUE_OK) record.bytes.assign(there.data, there.size);
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
  if (image_.slot(number).stamp != slot.stamp) return SEGUE_STATE;
  if (status == SEGUE_PEER) return status;
  record.id = heap_id(number, slot.generation);
  record.there = status == SEGUE_OK;
  record.type = record.there ? there.type : 0;
  record.has_digest = record.there && (slot.flags & kDigestValid) != 0;
  record.digest = slot.digest;
  return SEGUE_OK;
}

segue_status HeapReader::read_log(uint32_t number, Record& record) {
  LogEntry entry;
  std::string_view bytes;
  for (;;) {
    const uint64_t at = scanned_to_;
    const segue_status status = image_.log_entry(scanned_to_, entry, bytes);
    if (status == SEGUE_GONE) break;
    if (status != SEGUE_OK) return status;
    // A slot's own entry matters where there was no record: for others a whole one follows.
    if (entry.kind == LogKind::record ||
        (entry.kind == LogKind::slot && entry.before.offset == 0)) {
      logged_.emplace(entry.slot, at);
    }
  }
  const auto found = logged_.find(number);
  if (found == logged_.end()) return SEGUE_PEER;  // it was changed, but not logged
  uint64_t at = found->second;
  if (image_.log_entry(at, entry, bytes) != SEGUE_OK) return SEGUE_PEER;
  record.id = heap_id(number, entry.before.generation);
  record.there = entry.kind == LogKind::record;
  record.has_digest = record.there && (entry.before.flags & kDigestValid) != 0;
  record.digest = entry.before.digest;
  if (!record.there) return SEGUE_OK;
  HeapBlock block;
  memcpy(&block, bytes.data(), sizeof block);
  if (block.slot != number || block.size > bytes.size() - sizeof block) return SEGUE_PEER;
  record.type = block.type;
  record.bytes.assign(bytes.substr(sizeof block, block.size));
  return SEGUE_OK;
}

}  // namespace segue::handoff
