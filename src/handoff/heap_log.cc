// SPDX-License-Identifier: Apache-2.0
// What a heap's arena held before it was changed: for a consistent view of a moment that has
// passed, and for going back to it.
#include <algorithm>
#include <cstring>

#include "handoff/heap_image.h"

namespace segue::handoff {
namespace {

constexpr uint64_t padded(uint64_t length) {
  return (length + 15) / 16 * 16;
}

}  // namespace

bool HeapImage::log_has_room(uint64_t end, uint64_t bytes) const {
  return end >= places_.log_at && end <= places_.total && bytes <= places_.total - end;
}

bool HeapImage::make_log_room(uint64_t bytes) {
  if (epoch() == 0 || log_has_room(log_end(), bytes)) return true;
  if (!log_may_be_dropped_) return false;
  log_was_dropped_ = true;
  return_to_epoch(0);
  return true;
}

void HeapImage::spend_log(uint64_t end) {
  spent_log_end_ = std::max(spent_log_end_, std::min(end, places_.total));
}

segue_status HeapImage::log(LogEntry entry) {
  const uint64_t end = log_end();
  const uint64_t bytes = sizeof(LogEntry) + padded(entry.length);
  if (!log_has_room(end, bytes)) return SEGUE_LIMIT;
  memcpy(memory_ + end, &entry, sizeof entry);
  if (entry.length != 0) {
    memcpy(memory_ + end + sizeof entry, memory_ + entry.offset, entry.length);
  }
  // The entry counts once it is whole, and before what it saves is changed: this process may be
  // killed between any two instructions.
  __atomic_store_n(&header().log_end, end + bytes, __ATOMIC_RELEASE);
  return SEGUE_OK;
}

segue_status HeapImage::log_slot(uint32_t number) {
  if (epoch() == 0) return SEGUE_OK;
  LogEntry entry;
  entry.kind = LogKind::slot;
  entry.slot = number;
  entry.before = slot(number);
  return log(entry);
}

segue_status HeapImage::log_bytes(uint64_t offset, uint64_t length) {
  LogEntry entry;
  entry.kind = LogKind::bytes;
  entry.offset = offset;
  entry.length = length;
  return log(entry);
}

segue_status HeapImage::log_entry(uint64_t& at, LogEntry& entry, std::string_view& bytes) const {
  const uint64_t end = __atomic_load_n(&header().log_end, __ATOMIC_ACQUIRE);
  if (end < places_.log_at || end > places_.total || at < places_.log_at) return SEGUE_PEER;
  if (at >= end) return at == end ? SEGUE_GONE : SEGUE_PEER;
  if (end - at < sizeof entry) return SEGUE_PEER;
  memcpy(&entry, memory_ + at, sizeof entry);
  const bool has_bytes = entry.kind == LogKind::record || entry.kind == LogKind::bytes;
  const bool has_slot = entry.kind == LogKind::record || entry.kind == LogKind::slot;
  if ((!has_bytes && !has_slot) || (!has_bytes && entry.length != 0)) return SEGUE_PEER;
  if (entry.length > kLargestBlock || end - at - sizeof entry < padded(entry.length)) {
    return SEGUE_PEER;
  }
  if (has_slot && entry.slot >= places_.slot_capacity) return SEGUE_PEER;
  if (has_bytes && (!is_block(entry.offset) || entry.length > places_.log_at - entry.offset ||
                    entry.length < sizeof(HeapBlock) + sizeof(uint64_t))) {
    return SEGUE_PEER;
  }
  bytes = {memory_ + at + sizeof entry, entry.length};
  at += sizeof entry + padded(entry.length);
  return SEGUE_OK;
}

segue_status HeapImage::undo(const HeapHeader& before) {
  std::vector<uint64_t> places;
  uint64_t at = before.log_end;
  LogEntry entry;
  std::string_view bytes;
  segue_status status = SEGUE_OK;
  while (status == SEGUE_OK) {
    places.push_back(at);
    status = log_entry(at, entry, bytes);
  }
  if (status != SEGUE_GONE) return status;
  places.pop_back();
  for (; !places.empty(); places.pop_back()) {
    at = places.back();
    if (log_entry(at, entry, bytes) != SEGUE_OK) return SEGUE_PEER;
    if (!bytes.empty()) memcpy(memory_ + entry.offset, bytes.data(), bytes.size());
    if (entry.kind != LogKind::bytes) slot_at(entry.slot) = entry.before;
  }
  spend_log(log_end());
  header() = before;
  return SEGUE_OK;
}

}  // namespace segue::handoff
