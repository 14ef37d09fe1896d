// SPDX-License-Identifier: Apache-2.0
#include "handoff/heap_receiver.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>

#include "handoff/clock.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

namespace segue::handoff {
namespace {

// Between two looks at the clock.
constexpr uint64_t kSlotsPerStep = 32;
constexpr uint64_t kBytesPerStep = uint64_t{1} << 20;

Status malformed(FrameType type, const segue_heap& heap) {
  return Status::bad(SEGUE_PEER,
                     "a malformed " + std::string(frame_name(type)) + " of heap " + heap.name);
}

Status bad_record(const segue_heap& heap, uint64_t id, segue_status code, const char* what) {
  return Status::bad(code, "heap " + heap.name + ": record " + std::to_string(id) + " " + what);
}

std::optional<uint32_t> take_u32(std::string_view& in) {
  if (in.size() < 4) return std::nullopt;
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) value |= uint32_t{static_cast<uint8_t>(in[i])} << (8 * i);
  in.remove_prefix(4);
  return value;
}

}  // namespace

HeapReceiver::~HeapReceiver() {
  for (const auto& in : incoming_) in->heap->reader = nullptr;
}

HeapReceiver::Incoming* HeapReceiver::find(const segue_heap& heap) {
  for (const auto& in : incoming_) {
    if (in->heap == &heap) return in.get();
  }
  return nullptr;
}

Status HeapReceiver::agree(segue_heap& heap, std::string_view record) {
  const uint64_t capacity = get_number(record, 3, 0);
  const auto version = static_cast<uint32_t>(get_number(record, 4, 0));
  if (capacity == 0 || capacity > kMaxHeapBytes || find(heap) != nullptr) {
    return malformed(FrameType::accept, heap);
  }
  heap.way = way_of(version, heap.form.range().version, heap.wire_version);
  auto in = std::make_unique<Incoming>();
  in->heap = &heap;
  in->places = HeapPlaces::of(capacity);
  if (heap.way != HeapWay::mapped) in->need_bytes = get_number(record, 5, 0);
  incoming_.push_back(std::move(in));
  return Status::good();
}

Status HeapReceiver::prepare(const MemoryRoom& room) {
  uint64_t need = 0;
  std::string names;
  for (const auto& in : incoming_) {
    if (in->need_bytes == 0) continue;
    need += std::min(in->need_bytes, kMaxHeapBytes);
    names += (names.empty() ? "" : ", ") + in->heap->name;
  }
  if (need > 0) {
    Status status = check_memory_room(room, need, "converting heap " + names);
    if (!status.ok()) return status;
  }
  for (const auto& in : incoming_) {
    segue_heap& heap = *in->heap;
    if (heap.way == HeapWay::mapped) continue;
    if (Status status = heap.create(heap.max_size); !status.ok()) return status;
  }
  return Status::good();
}

// ---- Frames ----------------------------------------------------------------------------------

Status HeapReceiver::apply(FrameType type, segue_heap& heap, std::string_view payload,
                           UniqueFd* fd) {
  Incoming* in = find(heap);
  if (in == nullptr || (type != FrameType::heap && !in->here)) return malformed(type, heap);
  switch (type) {
    case FrameType::heap:
      return fd == nullptr || in->here ? malformed(type, heap) : arrive(*in, payload, fd);
    case FrameType::heap_slots:
      return heap.way == HeapWay::read ? slots(*in, payload) : malformed(type, heap);
    case FrameType::heap_put:
      return heap.way == HeapWay::sent ? put(*in, payload) : malformed(type, heap);
    case FrameType::heap_mark:
      return mark(*in, payload);
    default:
      return malformed(type, heap);
  }
}

Status HeapReceiver::arrive(Incoming& in, std::string_view payload, UniqueFd* fd) {
  segue_heap& heap = *in.heap;
  const bool shared = heap.way == HeapWay::mapped;
  Status status = HeapMemory::map(heap.name, std::move(*fd), in.places, shared, in.source);
  if (!status.ok()) return status;
  in.image = HeapImage(in.source.data(), in.places);
  in.reader = HeapReader(in.image);
  in.reader.settle(static_cast<uint32_t>(get_number(payload, 2, 0)));
  in.here = true;
  heap.reader = shared ? &in.reader : nullptr;
  if (shared) {
    heap.adopt(std::move(in.source), in.places);
    in.walk_end = in.places.log_at;
    return Status::good();
  }
  const uint64_t count = get_number(payload, 3, 0);
  if (count > in.places.slot_capacity) return malformed(FrameType::heap, heap);
  in.walk_end = heap.way == HeapWay::read ? count : 0;
  return Status::good();
}

Status HeapReceiver::slots(Incoming& in, std::string_view payload) {
  in.reader.settle(static_cast<uint32_t>(get_number(payload, 2, 0)));
  std::string_view numbers = get_bytes(payload, 3);
  while (!numbers.empty()) {
    const auto number = take_u32(numbers);
    if (!number) return malformed(FrameType::heap_slots, *in.heap);
    ++records_;
    if (Status status = take_slot(in, *number); !status.ok()) return status;
  }
  return Status::good();
}

Status HeapReceiver::put(Incoming& in, std::string_view payload) {
  std::string_view batch = get_bytes(payload, 2);
  while (!batch.empty()) {
    const auto entry = take_batch_entry(batch);
    if (!entry) return malformed(FrameType::heap_put, *in.heap);
    std::string_view key = entry->key;
    const auto id = take_u64(key);
    if (!id || !key.empty()) return malformed(FrameType::heap_put, *in.heap);
    ++records_;
    record_ = {};
    record_.id = *id;
    record_.there = !entry->value.empty();
    if (record_.there && !is_record(entry->value)) {
      return malformed(FrameType::heap_put, *in.heap);
    }
    reset(writer_);
    writer_.fields.assign(entry->value);
    if (Status status = take(in, record_); !status.ok()) return status;
  }
  return Status::good();
}

Status HeapReceiver::mark(Incoming& in, std::string_view payload) {
  const uint64_t count = get_number(payload, 3, 0);
  if (count > in.places.slot_capacity) return malformed(FrameType::heap_mark, *in.heap);
  in.reader.fix(static_cast<uint32_t>(get_number(payload, 2, 0)), static_cast<uint32_t>(count),
                get_number(payload, 6, 0));
  in.expected_records = get_number(payload, 4, 0);
  in.expected_sum = get_number(payload, 5, 0);
  in.reader.root = get_number(payload, 7, 0);
  if (in.heap->way != HeapWay::mapped) in.heap->image.set_root(in.reader.root);
  return Status::good();
}

// Brings a slot over from the predecessor's memory.
Status HeapReceiver::take_slot(Incoming& in, uint32_t number) {
  switch (in.reader.read(number, record_)) {
    case SEGUE_OK:
      break;
    case SEGUE_STATE:
      // Being changed, so it is named again by a later round.
      in.skipped.insert(number);
      return Status::good();
    default:
      return bad_record(*in.heap, heap_id(number, in.image.slot(number).generation), SEGUE_PEER,
                        "is damaged");
  }
  in.skipped.erase(number);
  if (record_.there) put_heap_record(writer_, record_.type, record_.bytes);
  return take(in, record_);
}

// `writer_` holds the record in the version agreed.
Status HeapReceiver::take(Incoming& in, const HeapReader::Record& record) {
  segue_heap& heap = *in.heap;
  const uint32_t number = slot_of_id(record.id);
  const auto generation = static_cast<uint32_t>(record.id >> 32);
  segue_status code = SEGUE_OK;
  if (record.there) {
    Status status =
        convert_heap_record(heap.form, heap.wire_version, heap.form.range().version, writer_);
    if (!status.ok()) {
      status.text += " (heap " + heap.name + " record " + std::to_string(record.id) + ")";
      return status;
    }
    const uint64_t type = get_number(writer_.fields, kHeapTypeTag, 0);
    code = heap.image.place(number, generation, static_cast<uint32_t>(type),
                            get_bytes(writer_.fields, kHeapBytesTag));
  } else {
    code = heap.image.vacate(number, generation);
  }
  if (code == SEGUE_OK) return Status::good();
  if (code == SEGUE_LIMIT) {
    return bad_record(
        heap, record.id, SEGUE_LIMIT,
        "does not fit: this version's heap is smaller than the predecessor's records");
  }
  return bad_record(heap, record.id, SEGUE_PEER, "is damaged");
}

// ---- Work ------------------------------------------------------------------------------------

bool HeapReceiver::has_work() const {
  return std::any_of(incoming_.begin(), incoming_.end(), [this](const auto& in) {
    return in->walk_at < in->walk_end || (verifying_ && in->verify_at < in->verify_end) ||
           (letting_go_ && in->source.data() != nullptr);
  });
}

Status HeapReceiver::work(uint64_t until_ns) {
  for (const auto& in : incoming_) {
    while (letting_go_ && !in->source.unmap_some(4 * kBytesPerStep)) {
      if (monotonic_ns() >= until_ns) return Status::good();
    }
    while (in->walk_at < in->walk_end) {
      if (Status status = walk(*in); !status.ok()) return status;
      if (monotonic_ns() >= until_ns) return Status::good();
    }
    while (verifying_ && in->verify_at < in->verify_end) {
      if (Status status = verify(*in); !status.ok()) return status;
      if (monotonic_ns() >= until_ns) return Status::good();
    }
  }
  return Status::good();
}

Status HeapReceiver::walk(Incoming& in) {
  if (in.heap->way == HeapWay::mapped) {
    populate(in);
    return Status::good();
  }
  for (uint64_t i = 0; i < kSlotsPerStep && in.walk_at < in.walk_end; ++i) {
    const Status status = take_slot(in, static_cast<uint32_t>(in.walk_at++));
    if (!status.ok()) return status;
    if (record_.bytes.size() >= kBytesPerStep / 4) break;
  }
  return Status::good();
}

// Makes the pages that hold something part of this process, so that a write after activation does
// not fault. Best effort: without it (Linux < 5.14, or memory short) they are when they are
// touched.
void HeapReceiver::populate(Incoming& in) {
  if (in.walk_at >= in.extent_end && !find_extent(in)) {
    in.walk_at = in.walk_end;
    return;
  }
  const uint64_t to = std::min({in.extent_end, in.walk_at + kBytesPerStep, in.walk_end});
  (void)madvise(in.image.memory() + in.walk_at, to - in.walk_at, MADV_POPULATE_WRITE);
  in.walk_at = to;
}

// The next pages that hold something. Once for each run of them: the kernel looks at every page of
// a run to find its end.
bool HeapReceiver::find_extent(Incoming& in) {
  const int fd = in.heap->memory.fd();
  const off_t data = lseek(fd, static_cast<off_t>(in.walk_at), SEEK_DATA);
  if (data < 0 || static_cast<uint64_t>(data) >= in.walk_end) return false;
  const off_t hole = lseek(fd, data, SEEK_HOLE);
  in.walk_at = static_cast<uint64_t>(data);
  in.extent_end = hole > data ? static_cast<uint64_t>(hole) : in.walk_at + kHeapHeaderBytes;
  return true;
}

// ---- Rehearsal -------------------------------------------------------------------------------

void HeapReceiver::begin_verification() {
  verifying_ = true;
  difference_ = {};
  for (const auto& in : incoming_) {
    in->verify_at = 0;
    // One more than the slots: the totals.
    in->verify_end = in->reader.fixed() ? uint64_t{in->reader.slot_count()} + 1 : 0;
    in->verified = 0;
    in->sum = 0;
  }
}

Status HeapReceiver::verify(Incoming& in) {
  if (!difference_.what.empty()) in.verify_at = in.verify_end;
  for (uint64_t i = 0; i < kSlotsPerStep && in.verify_at < in.verify_end; ++i) {
    const uint64_t at = in.verify_at++;
    if (at + 1 == in.verify_end) {
      verify_totals(in);
      break;
    }
    Status status = verify_slot(in, static_cast<uint32_t>(at));
    if (!status.ok()) return status;
    if (record_.bytes.size() >= kBytesPerStep / 4) break;
  }
  return Status::good();
}

Status HeapReceiver::verify_slot(Incoming& in, uint32_t number) {
  const bool was_skipped = in.skipped.contains(number);
  if (was_skipped && in.heap->way == HeapWay::read) {
    // The mark's snapshot has it, whatever has become of it since.
    if (Status status = take_slot(in, number); !status.ok()) return status;
  }
  if (in.reader.read(number, record_) != SEGUE_OK) {
    return bad_record(*in.heap, heap_id(number, in.image.slot(number).generation), SEGUE_PEER,
                      "is damaged");
  }
  if (record_.there) {
    ++in.verified;
    const uint64_t digest = HeapImage::digest(record_.id, record_.type, record_.bytes);
    in.sum += digest;
    if (!record_.has_digest || record_.digest != digest) {
      differs(in, record_.id, "the record was changed without segue_heap_write(), or is damaged");
    }
  }
  return in.heap->way == HeapWay::mapped ? Status::good() : verify_converted(in, number, record_);
}

Status HeapReceiver::verify_converted(Incoming& in, uint32_t number,
                                      const HeapReader::Record& record) {
  segue_heap& heap = *in.heap;
  HeapImage::Record mine;
  const HeapSlot slot = heap.image.slot(number);
  const bool there = heap.image.block(slot, number, mine) == SEGUE_OK;
  if (there != record.there || (there && mine.id != record.id)) {
    differs(in, record.id,
            there ? "the predecessor does not have this record (any more)"
                  : "the successor does not have this record");
    return Status::good();
  }
  if (!there || heap.way != HeapWay::read) return Status::good();
  put_heap_record(writer_, mine.type, {mine.data, mine.size});
  Status status =
      convert_heap_record(heap.form, heap.form.range().version, heap.wire_version, writer_);
  if (!status.ok()) return status;
  const bool same = get_bytes(writer_.fields, kHeapBytesTag) == record.bytes &&
                    get_number(writer_.fields, kHeapTypeTag, mine.type) == record.type;
  if (!same) differs(in, record.id, "the record differs after converting it there and back");
  return Status::good();
}

void HeapReceiver::verify_totals(const Incoming& in) {
  if (in.verified != in.expected_records) {
    return differs(in, 0, "another number of records was found than the predecessor has");
  }
  if (in.sum != in.expected_sum) {
    differs(in, 0, "the digests of the records have another sum than at the predecessor");
  }
}

void HeapReceiver::differs(const Incoming& in, uint64_t id, const char* what) {
  if (difference_.what.empty()) difference_ = {in.heap->name, std::to_string(id), what};
}

void HeapReceiver::end_rehearsal() {
  verifying_ = false;
  for (const auto& in : incoming_) in->reader.release();
}

// ---- Taking over -----------------------------------------------------------------------------

Status HeapReceiver::finish() {
  for (const auto& in : incoming_) {
    segue_heap& heap = *in->heap;
    if (!in->here) {
      return Status::bad(SEGUE_PEER, "heap " + heap.name + " was announced and did not come");
    }
    if (!in->skipped.empty() && heap.way == HeapWay::read) {
      return Status::bad(SEGUE_PEER, "heap " + heap.name + ": a record that changed did not come");
    }
    if (heap.way != HeapWay::mapped) {
      heap.image.set_root(in->image.root());
      continue;
    }
    Status status = heap.image.inspect(heap.form.range().version);
    if (!status.ok()) {
      status.text = "heap " + heap.name + " is damaged: " + status.text;
      return status;
    }
  }
  return Status::good();
}

void HeapReceiver::activate() {
  letting_go_ = true;
  for (const auto& in : incoming_) {
    in->heap->reader = nullptr;
    in->walk_at = in->walk_end;
    if (in->heap->way == HeapWay::mapped) in->heap->begin_probation();
  }
}

void HeapReceiver::commit() {
  for (const auto& in : incoming_) {
    {
      const HeapGuard guard(*in->heap);
      in->heap->end_probation();
    }
    in->heap->give_log_back();
  }
}

}  // namespace segue::handoff
