// SPDX-License-Identifier: Apache-2.0
#include "handoff/heap_image.h"

#include <algorithm>
#include <cstring>

#include "handoff/siphash.h"

namespace segue::handoff {
namespace {

// What a change may log beside the record itself: slots, links of blocks, their neighbours.
constexpr uint64_t kLogReserve = 1024;

}  // namespace

void HeapImage::format(uint32_t form_version) {
  HeapHeader& h = header();
  h = HeapHeader{};
  h.magic = kHeapMagic;
  h.layout = kHeapLayoutVersion;
  h.form_version = form_version;
  h.data_capacity = places_.data_capacity;
  h.top = places_.data_at;
  h.free_slot = kNoSlot;
  h.generation = 1;
  h.log_end = places_.log_at;
}

Status HeapImage::inspect(uint32_t form_version) const {
  const HeapHeader h = header();
  const auto bad = [](const char* what) { return Status::bad(SEGUE_PEER, what); };
  if (h.magic != kHeapMagic) return bad("it is not a heap");
  if (h.layout != kHeapLayoutVersion) return bad("its layout is of another version");
  if (h.form_version != form_version) return bad("its form has another version than was agreed");
  if (h.data_capacity != places_.data_capacity) return bad("it has another size than announced");
  if (h.top < places_.data_at || h.top > places_.log_at || h.top % kSmallestBlock != 0) {
    return bad("the end of its data is outside");
  }
  if (!slot_in(places_, h.slot_count)) return bad("it has more slots than fit");
  if (h.log_end < places_.log_at || h.log_end > places_.total) return bad("its log is outside");
  return Status::good();
}

// ---- Looking ---------------------------------------------------------------------------------

uint32_t HeapImage::slot_count() const {
  const uint32_t count = load(header().slot_count);
  return slot_in(places_, count) ? count : static_cast<uint32_t>(places_.slot_capacity);
}

HeapSlot HeapImage::slot(uint32_t number) const {
  HeapSlot copy;
  if (number >= slot_count()) return copy;
  const HeapSlot& there = slot_at(number);
  copy.stamp = load(there.stamp);
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
  copy.offset = load(there.offset);
  copy.generation = load(there.generation);
  copy.digest = load(there.digest);
  copy.flags = load(there.flags);
  copy.next_free = load(there.next_free);
  return copy;
}

bool HeapImage::is_block(uint64_t offset) const {
  return offset >= places_.data_at && offset <= places_.log_at - kSmallestBlock &&
         (offset - places_.data_at) % kSmallestBlock == 0;
}

segue_status HeapImage::block(const HeapSlot& slot, uint32_t number, Record& record) const {
  if (slot.offset == 0) return SEGUE_GONE;
  if (!is_block(slot.offset)) return SEGUE_PEER;
  const HeapBlock& there = block_at(slot.offset);
  const uint32_t size = load(there.size);
  const uint32_t block_class = load(there.block_class);
  if (load(there.slot) != number || block_class >= kBlockClasses) return SEGUE_PEER;
  const uint64_t room = block_bytes(block_class);
  if (sizeof(HeapBlock) + size > room || room > places_.log_at - slot.offset) return SEGUE_PEER;
  record = {number, load(there.type), heap_id(number, slot.generation), size,
            memory_ + slot.offset + sizeof(HeapBlock)};
  return SEGUE_OK;
}

segue_status HeapImage::find(uint64_t id, Record& record) const {
  const uint32_t number = slot_of_id(id);
  const HeapSlot found = slot(number);
  if (found.offset == 0 || heap_id(number, found.generation) != id) return SEGUE_GONE;
  return block(found, number, record);
}

segue_status HeapImage::next(uint32_t number, Record& record) const {
  for (const uint32_t count = slot_count(); number < count; ++number) {
    const HeapSlot found = slot(number);
    if (found.offset == 0) continue;
    const segue_status status = block(found, number, record);
    if (status != SEGUE_OK) record = {number, 0, heap_id(number, found.generation), 0, nullptr};
    return status;
  }
  return SEGUE_GONE;
}

uint64_t HeapImage::data_used() const {
  const HeapHeader h = header();
  const uint64_t blocks = h.record_bytes + h.record_bytes / 4 + h.records * kSmallestBlock;
  return blocks + uint64_t{h.slot_count} * sizeof(HeapSlot) + kHeapHeaderBytes;
}

// ---- Changes ---------------------------------------------------------------------------------

uint32_t HeapImage::next_generation() {
  const uint32_t next = load(header().generation) + 1;
  store(header().generation, next);
  return next;
}

void HeapImage::open_epoch() {
  log_was_dropped_ = false;
  store(header().epoch, next_generation());
}

void HeapImage::return_to_epoch(uint32_t epoch) {
  store(header().epoch, epoch);
  if (epoch != 0) return;
  spend_log(log_end());
  store(header().log_end, places_.log_at);
}

void HeapImage::touch(uint32_t number) {
  HeapSlot& slot = slot_at(number);
  const uint32_t now = generation();
  if (load(slot.stamp) == now) return;
  if (changed_ != nullptr) changed_->push_back(number);
  // Who sees the new stamp sees the end of the log too.
  __atomic_store_n(&slot.stamp, now, __ATOMIC_RELEASE);
  // Who reads concurrently sees the new stamp if it sees anything of what follows.
  __atomic_thread_fence(__ATOMIC_RELEASE);
}

void HeapImage::forget_digest(HeapSlot& slot) {
  if ((load(slot.flags) & kDigestValid) == 0) return;
  store(header().digest_sum, load(header().digest_sum) - load(slot.digest));
  store(slot.flags, uint32_t{0});
}

// Before the bytes of a record, its slot or its block change.
segue_status HeapImage::change(const Record& record) {
  HeapSlot& slot = slot_at(record.slot);
  const bool saved = load(slot.stamp) >= epoch();
  if (!make_log_room(kLogReserve + (saved ? 0 : record.size))) return SEGUE_LIMIT;
  if (!saved && epoch() != 0) {
    LogEntry entry;
    entry.kind = LogKind::record;
    entry.slot = record.slot;
    entry.offset = offset_of(record);
    // The link of a free block lies in the first bytes, also of a smaller record.
    entry.length = sizeof(HeapBlock) + std::max<uint64_t>(record.size, sizeof(uint64_t));
    entry.before = this->slot(record.slot);
    if (const segue_status status = log(entry); status != SEGUE_OK) return status;
  }
  touch(record.slot);
  forget_digest(slot);
  return SEGUE_OK;
}

segue_status HeapImage::write(uint64_t id, Record& record) {
  const Marked marked(*this);
  const segue_status status = find(id, record);
  return status == SEGUE_OK ? change(record) : status;
}

segue_status HeapImage::alloc(uint32_t type, uint64_t size, Record& record) {
  const Marked marked(*this);
  if (size > kLargestRecord) return SEGUE_INVALID;
  if (!make_log_room(kLogReserve)) return SEGUE_LIMIT;
  uint64_t offset = 0;
  if (const segue_status status = take_block(size, offset); status != SEGUE_OK) return status;
  uint32_t number = 0;
  if (const segue_status status = take_slot(number); status != SEGUE_OK) {
    push_block(offset, class_of_bytes(sizeof(HeapBlock) + size));
    return status;
  }
  touch(number);
  fill(number, offset, type, size);
  return find(heap_id(number, load(slot_at(number).generation)), record);
}

void HeapImage::fill(uint32_t number, uint64_t offset, uint32_t type, uint64_t size) {
  HeapBlock& there = block_at(offset);
  store(there.size, static_cast<uint32_t>(size));
  store(there.slot, number);
  store(there.type, type);
  HeapSlot& slot = slot_at(number);
  store(slot.digest, uint64_t{0});
  store(slot.flags, uint32_t{0});
  store(slot.next_free, kNoSlot);
  store(slot.offset, offset);
  HeapHeader& h = header();
  store(h.records, load(h.records) + 1);
  store(h.record_bytes, load(h.record_bytes) + size);
}

segue_status HeapImage::resize(uint64_t id, uint64_t size, Record& record) {
  const Marked marked(*this);
  if (size > kLargestRecord) return SEGUE_INVALID;
  if (const segue_status status = write(id, record); status != SEGUE_OK) return status;
  HeapSlot& slot = slot_at(record.slot);
  const uint64_t old_offset = offset_of(record);
  const uint32_t old_class = load(block_at(old_offset).block_class);
  const uint32_t old_size = record.size;
  if (old_class >= kBlockClasses) return SEGUE_PEER;
  const uint64_t needed = sizeof(HeapBlock) + size;
  uint64_t offset = old_offset;
  // A record that has shrunk to less than half moves where it can, so that it does not hold a large
  // block for ever.
  if (needed > block_bytes(old_class) ||
      block_bytes(class_of_bytes(needed)) * 2 < block_bytes(old_class)) {
    const segue_status status = take_block(size, offset);
    if (status == SEGUE_LIMIT && needed <= block_bytes(old_class)) {
      offset = old_offset;
    } else if (status != SEGUE_OK) {
      return status;
    }
  }
  if (offset != old_offset) {
    HeapBlock& there = block_at(offset);
    store(there.slot, record.slot);
    store(there.type, record.type);
    memcpy(memory_ + offset + sizeof(HeapBlock), record.data, std::min<uint64_t>(old_size, size));
    store(slot.offset, offset);
    push_block(old_offset, old_class);
    freed_since_merge_ = true;
  }
  store(block_at(offset).size, static_cast<uint32_t>(size));
  HeapHeader& h = header();
  store(h.record_bytes, load(h.record_bytes) - old_size + size);
  return find(id, record);
}

segue_status HeapImage::free(uint64_t id) {
  const Marked marked(*this);
  Record record;
  if (const segue_status status = write(id, record); status != SEGUE_OK) return status;
  HeapSlot& slot = slot_at(record.slot);
  const uint64_t offset = offset_of(record);
  const uint32_t block_class = load(block_at(offset).block_class);
  if (block_class >= kBlockClasses) return SEGUE_PEER;
  store(slot.offset, uint64_t{0});
  // 0 is no generation, so that no id is 0.
  const uint32_t next = load(slot.generation) + 1;
  store(slot.generation, next == 0 ? 1 : next);
  push_block(offset, block_class);
  freed_since_merge_ = true;
  link_slot(record.slot);
  HeapHeader& h = header();
  store(h.records, load(h.records) - 1);
  store(h.record_bytes, load(h.record_bytes) - record.size);
  return SEGUE_OK;
}

// ---- Slots -----------------------------------------------------------------------------------

segue_status HeapImage::take_slot(uint32_t& number) {
  number = load(header().free_slot);
  if (number == kNoSlot) {
    number = slot_count();
    if (const segue_status status = grow_slots(number + 1); status != SEGUE_OK) return status;
  }
  return unlink_slot(number);
}

segue_status HeapImage::grow_slots(uint32_t count) {
  if (!slot_in(places_, count)) return SEGUE_LIMIT;
  for (uint32_t number = slot_count(); number < count; ++number) {
    HeapSlot& slot = slot_at(number);
    store(slot.offset, uint64_t{0});
    store(slot.generation, uint32_t{1});
    store(slot.flags, uint32_t{0});
    store(slot.stamp, generation() - 1);
    store(header().slot_count, number + 1);
    link_slot(number);
  }
  return SEGUE_OK;
}

segue_status HeapImage::unlink_slot(uint32_t number) {
  if (number >= slot_count()) return SEGUE_PEER;
  HeapSlot& slot = slot_at(number);
  if (load(slot.offset) != 0) return SEGUE_PEER;
  const uint32_t next = load(slot.next_free);
  const auto before = static_cast<uint32_t>(load(slot.digest));
  const auto linked = [this](uint32_t other) {
    return other == kNoSlot || (other < slot_count() && load(slot_at(other).offset) == 0);
  };
  if (!linked(next) || !linked(before)) return SEGUE_PEER;
  if (const segue_status status = log_slot(number); status != SEGUE_OK) return status;
  if (next != kNoSlot) {
    if (const segue_status status = log_slot(next); status != SEGUE_OK) return status;
    store(slot_at(next).digest, uint64_t{before});
  }
  if (before == kNoSlot) {
    store(header().free_slot, next);
    return SEGUE_OK;
  }
  if (const segue_status status = log_slot(before); status != SEGUE_OK) return status;
  store(slot_at(before).next_free, next);
  return SEGUE_OK;
}

void HeapImage::link_slot(uint32_t number) {
  HeapSlot& slot = slot_at(number);
  const uint32_t first = load(header().free_slot);
  store(slot.digest, uint64_t{kNoSlot});
  store(slot.flags, uint32_t{0});
  store(slot.next_free, first);
  if (first < slot_count() && load(slot_at(first).offset) == 0) {
    (void)log_slot(first);  // there is room: change() looked
    store(slot_at(first).digest, uint64_t{number});
  }
  store(header().free_slot, number);
}

segue_status HeapImage::place(uint32_t number, uint32_t generation, uint32_t type,
                              std::string_view bytes) {
  if (generation == 0 || bytes.size() > kLargestRecord) return SEGUE_INVALID;
  if (number >= places_.slot_capacity) return SEGUE_LIMIT;
  if (const segue_status status = grow_slots(number + 1); status != SEGUE_OK) return status;
  HeapSlot& slot = slot_at(number);
  Record record;
  segue_status status = SEGUE_OK;
  if (load(slot.offset) != 0) {
    store(slot.generation, generation);
    status = resize(heap_id(number, generation), bytes.size(), record);
    if (status != SEGUE_OK) return status;
    store(block_at(offset_of(record)).type, type);
  } else {
    uint64_t offset = 0;
    if (status = take_block(bytes.size(), offset); status != SEGUE_OK) return status;
    if (status = unlink_slot(number); status != SEGUE_OK) return status;
    touch(number);
    store(slot.generation, generation);
    fill(number, offset, type, bytes.size());
    if (status = find(heap_id(number, generation), record); status != SEGUE_OK) return status;
  }
  if (!bytes.empty()) memcpy(record.data, bytes.data(), bytes.size());
  return refresh_digest(number);
}

segue_status HeapImage::vacate(uint32_t number, uint32_t generation) {
  if (generation == 0) return SEGUE_INVALID;
  if (number >= places_.slot_capacity) return SEGUE_LIMIT;
  if (const segue_status status = grow_slots(number + 1); status != SEGUE_OK) return status;
  const HeapSlot found = slot(number);
  if (found.offset != 0) {
    const segue_status status = free(heap_id(number, found.generation));
    if (status != SEGUE_OK) return status;
  }
  store(slot_at(number).generation, generation);
  return SEGUE_OK;
}

// ---- Digests ---------------------------------------------------------------------------------

uint64_t HeapImage::digest(uint64_t id, uint32_t type, std::string_view bytes) {
  return siphash24(bytes, id, type);
}

segue_status HeapImage::refresh_digest(uint32_t number) {
  const Marked marked(*this);
  const HeapSlot found = slot(number);
  if (found.offset == 0 || (found.flags & kDigestValid) != 0) return SEGUE_OK;
  Record record;
  if (const segue_status status = block(found, number, record); status != SEGUE_OK) return status;
  if (epoch() != 0) {
    if (!make_log_room(kLogReserve)) return SEGUE_LIMIT;
    if (const segue_status status = log_slot(number); status != SEGUE_OK) return status;
  }
  const uint64_t value = digest(record.id, record.type, {record.data, record.size});
  store(slot_at(number).digest, value);
  store(slot_at(number).flags, kDigestValid);
  store(header().digest_sum, load(header().digest_sum) + value);
  return SEGUE_OK;
}

}  // namespace segue::handoff
