// SPDX-License-Identifier: Apache-2.0
#include "handoff/heap_sender.h"

#include <algorithm>

#include "handoff/clock.h"

namespace segue::handoff {
namespace {

constexpr size_t kBatchBytes = 48 * 1024;
// Between two looks at the clock.
constexpr size_t kSlotsPerStep = 64;
constexpr uint64_t kBytesPerStep = 128 * 1024;
// What a record costs beside its bytes, in bytes.
constexpr uint64_t kRecordWeight = 64;
constexpr size_t kMostWeighed = 1024;

Status damaged(const segue_heap& heap, uint64_t id) {
  return Status::bad(SEGUE_PEER,
                     "heap " + heap.name + ": record " + std::to_string(id) + " is damaged");
}

void append_u32(std::string& out, uint32_t value) {
  for (int shift = 0; shift < 32; shift += 8) out.push_back(static_cast<char>(value >> shift));
}

}  // namespace

void HeapSender::begin_snapshot() {
  snapshot_ = true;
  handed_out_ = false;
  heap_at_ = 0;
  slot_at_ = 0;
  for (const auto& heap : inventory_.heaps) heap->digested = digesting_;
}

void HeapSender::begin_round() {
  begin_snapshot();
  snapshot_ = false;
  rounds_.assign(inventory_.heaps.size(), {});
  for (size_t i = 0; i < rounds_.size(); ++i) {
    segue_heap& heap = *inventory_.heaps[i];
    const HeapGuard guard(heap);
    heap.digested = digesting_;
    if (heap.retired || (heap.way == HeapWay::mapped && !digesting_)) continue;
    rounds_[i].slots = std::exchange(heap.changed, {});
    rounds_[i].settled = heap.image.next_generation() - 1;
  }
}

Status HeapSender::step(bool& done) {
  while (heap_at_ < inventory_.heaps.size() && inventory_.heaps[heap_at_]->retired) ++heap_at_;
  done = heap_at_ >= inventory_.heaps.size();
  if (done) return Status::good();
  segue_heap& heap = *inventory_.heaps[heap_at_];
  const HeapGuard guard(heap);
  if (snapshot_ && !std::exchange(handed_out_, true)) return hand_out(heap);
  bool heap_done = false;
  if (Status status = slots_step(heap, heap_done); !status.ok() || !heap_done) return status;
  ++heap_at_;
  slot_at_ = 0;
  handed_out_ = false;
  return Status::good();
}

Status HeapSender::hand_out(segue_heap& heap) {
  slot_end_ = heap.image.slot_count();
  segue_writer out;
  put_number(out, 1, heap.number);
  put_number(out, 2, heap.image.generation() - 1);
  put_number(out, 3, slot_end_);
  const int fd = heap.memory.fd();
  ++descriptors_;
  return link_.send(FrameType::heap, out.fields, std::span<const int>(&fd, 1));
}

Status HeapSender::slots_step(segue_heap& heap, bool& heap_done) {
  const bool looks_at_all = !snapshot_ || digesting_ || heap.way == HeapWay::sent;
  const size_t end = snapshot_ ? slot_end_ : rounds_[heap_at_].slots.size();
  if (!looks_at_all) slot_at_ = end;
  uint64_t bytes = 0;
  for (size_t i = 0; i < kSlotsPerStep && slot_at_ < end && bytes < kBytesPerStep; ++i) {
    const uint32_t number =
        snapshot_ ? static_cast<uint32_t>(slot_at_) : rounds_[heap_at_].slots[slot_at_];
    ++slot_at_;
    if (Status status = slot(heap, number, bytes); !status.ok()) return status;
  }
  heap_done = slot_at_ >= end;
  const bool full = slots_.size() >= kBatchBytes || puts_.size() >= kBatchBytes;
  return heap_done || full ? flush(heap) : Status::good();
}

Status HeapSender::slot(segue_heap& heap, uint32_t number, uint64_t& bytes) {
  if (digesting_) {
    const HeapSlot slot = heap.image.slot(number);
    if (slot.offset != 0 && (slot.flags & kDigestValid) == 0) {
      const uint64_t started = monotonic_ns();
      const segue_status status = heap.image.refresh_digest(number);
      if (status == SEGUE_LIMIT) {
        return Status::bad(SEGUE_LIMIT,
                           "heap " + heap.name +
                               ": its log is full, with what was written in this process's own "
                               "probation: try again after its commit");
      }
      if (status != SEGUE_OK) return damaged(heap, heap_id(number, slot.generation));
      digest_ns_ += monotonic_ns() - started;
      digest_weight_ += kRecordWeight;
      HeapImage::Record record;
      if (heap.image.block(slot, number, record) == SEGUE_OK) {
        bytes += record.size;
        digest_weight_ += record.size;
      }
    }
  }
  if (heap.way == HeapWay::read && !snapshot_) {
    append_u32(slots_, number);
    ++records_;
  }
  if (heap.way != HeapWay::sent) return Status::good();
  bytes += record_.fields.size();
  return add_record(heap, number);
}

Status HeapSender::add_record(segue_heap& heap, uint32_t number) {
  const HeapSlot slot = heap.image.slot(number);
  const uint64_t id = heap_id(number, slot.generation);
  std::string key;
  append_u64(key, id);
  ++records_;
  HeapImage::Record record;
  switch (heap.image.block(slot, number, record)) {
    case SEGUE_OK:
      break;
    case SEGUE_GONE:
      append_batch_entry(puts_, key, {});
      return Status::good();
    default:
      return damaged(heap, id);
  }
  put_heap_record(record_, record.type, {record.data, record.size});
  Status status =
      convert_heap_record(heap.form, heap.form.range().version, heap.wire_version, record_);
  if (!status.ok()) {
    status.text += " (heap " + heap.name + " record " + std::to_string(id) + ")";
    return status;
  }
  append_batch_entry(puts_, key, record_.fields);
  return puts_.size() >= kBatchBytes ? flush(heap) : Status::good();
}

Status HeapSender::flush(const segue_heap& heap) {
  segue_writer out;
  if (!slots_.empty()) {
    put_number(out, 1, heap.number);
    put_number(out, 2, rounds_[heap_at_].settled);
    put_field(out, 3, slots_);
    slots_.clear();
    if (Status status = link_.send(FrameType::heap_slots, out.fields); !status.ok()) return status;
  }
  if (puts_.empty()) return Status::good();
  reset(out);
  put_number(out, 1, heap.number);
  put_field(out, 2, puts_);
  puts_.clear();
  return link_.send(FrameType::heap_put, out.fields);
}

Status HeapSender::put_back() {
  if (snapshot_) return Status::good();
  Status status = Status::good();
  if (heap_at_ < inventory_.heaps.size()) status = flush(*inventory_.heaps[heap_at_]);
  for (; heap_at_ < rounds_.size(); ++heap_at_, slot_at_ = 0) {
    const HeapGuard guard(*inventory_.heaps[heap_at_]);
    const std::vector<uint32_t>& slots = rounds_[heap_at_].slots;
    std::vector<uint32_t>& changed = inventory_.heaps[heap_at_]->changed;
    if (slot_at_ < slots.size()) {
      changed.insert(changed.end(), slots.begin() + static_cast<ptrdiff_t>(slot_at_), slots.end());
    }
  }
  return status;
}

Status HeapSender::mark() {
  for (const auto& heap : inventory_.heaps) {
    if (heap->retired) continue;
    const HeapGuard guard(*heap);
    heap->begin_rehearsal();
    const HeapHeader header = heap->image.header_copy();
    segue_writer out;
    put_number(out, 1, heap->number);
    put_number(out, 2, header.generation - 1);
    put_number(out, 3, header.slot_count);
    put_number(out, 4, header.records);
    put_number(out, 5, header.digest_sum);
    put_number(out, 6, header.log_end);
    put_number(out, 7, header.root);
    if (Status status = link_.send(FrameType::heap_mark, out.fields); !status.ok()) return status;
  }
  return Status::good();
}

void HeapSender::end_rehearsal() {
  digesting_ = false;
  for (const auto& heap : inventory_.heaps) {
    {
      const HeapGuard guard(*heap);
      heap->end_rehearsal();
      heap->digested = false;
    }
    heap->give_log_back();
  }
}

std::string HeapSender::lost_rehearsal() const {
  for (const auto& heap : inventory_.heaps) {
    const HeapGuard guard(*heap);
    if (!heap->lost_rehearsal()) continue;
    return "heap " + heap->name +
           ": more was written during the rehearsal than its log holds (twice its size): try again "
           "when less is written, or with a larger heap";
  }
  return {};
}

uint64_t HeapSender::predict_digest_ns() const {
  if (!digesting_) return 0;
  uint64_t weight = 0;
  for (const auto& heap : inventory_.heaps) {
    const HeapGuard guard(*heap);
    const std::vector<uint32_t>& changed = heap->changed;
    const size_t looked_at = std::min(changed.size(), kMostWeighed);
    uint64_t sum = 0;
    for (size_t i = 0; i < looked_at; ++i) {
      // Of all that have changed, evenly.
      const uint32_t number = changed[i * changed.size() / looked_at];
      HeapImage::Record record;
      const bool there = heap->image.block(heap->image.slot(number), number, record) == SEGUE_OK;
      sum += kRecordWeight + (there ? record.size : 0);
    }
    if (looked_at > 0) weight += sum / looked_at * changed.size();
  }
  if (digest_weight_ == 0) return weight;  // a nanosecond for each byte, until it was measured
  return static_cast<uint64_t>(static_cast<double>(weight) * static_cast<double>(digest_ns_) /
                               static_cast<double>(digest_weight_));
}

}  // namespace segue::handoff
