// SPDX-License-Identifier: Apache-2.0
// The C ABI of segue/heap.h.
#include <algorithm>
#include <cstring>
#include <string>

#include "handoff/api_checks.h"
#include "handoff/heap_snapshot.h"
#include "handoff/instance.h"
#include "segue/heap.h"

using segue::handoff::HeapImage;
using segue::handoff::HeapReader;

static_assert(SEGUE_HEAP_BYTES == segue::handoff::kHeapBytesTag);
static_assert(SEGUE_HEAP_TYPE == segue::handoff::kHeapTypeTag);
static_assert(SEGUE_HEAP_MAX_RECORD == segue::handoff::kLargestRecord);

namespace {

segue_heap* refuse(segue_instance* s, const char* name, const char* why) {
  s->error = std::string(name) + ": " + why;
  return nullptr;
}

int changed(segue_status status, const HeapImage::Record& record, void** data) {
  if (status == SEGUE_OK && data != nullptr) *data = record.data;
  return status;
}

// From `check` on: a record by its slot, as of the mark where the predecessor goes on writing.
int read_slot(segue_heap* heap, uint32_t slot, HeapReader::Record& record) {
  if (heap->reader != nullptr) {
    if (!heap->reader->fixed()) return SEGUE_STATE;
    return heap->reader->read(slot, record);
  }
  if (!heap->image.valid()) return SEGUE_STATE;
  const segue::handoff::HeapSlot found = heap->image.slot(slot);
  HeapImage::Record there;
  const segue_status status = heap->image.block(found, slot, there);
  if (status == SEGUE_PEER) return status;
  record.there = status == SEGUE_OK;
  record.id = segue::handoff::heap_id(slot, found.generation);
  record.type = there.type;
  record.bytes.assign(there.data, there.size);
  return SEGUE_OK;
}

}  // namespace

extern "C" {

segue_heap* segue_heap_open(segue_instance* s, const char* name, const segue_form* form,
                            size_t max_size) {
  if (segue::handoff::check_item(s, name) != SEGUE_OK) return nullptr;
  if (form == nullptr || max_size == 0 || max_size > segue::handoff::kMaxHeapBytes) {
    return refuse(s, name, "a heap needs a form, and a size of at most 16 TiB");
  }
  auto heap = std::make_unique<segue_heap>();
  segue::handoff::Status status = segue::handoff::Form::make(*form, heap->form);
  if (!status.ok()) return refuse(s, name, status.text.c_str());
  heap->name = name;
  heap->instance = s;
  heap->max_size = max_size;
  s->inventory().heaps.push_back(std::move(heap));
  return s->inventory().heaps.back().get();
}

int segue_heap_set_lock(segue_heap* heap, void (*lock)(void* user), void (*unlock)(void* user),
                        void* user) {
  if (lock == nullptr || unlock == nullptr) return SEGUE_INVALID;
  if (heap->instance->started()) return SEGUE_STATE;
  heap->lock = lock;
  heap->unlock = unlock;
  heap->lock_user = user;
  return SEGUE_OK;
}

int segue_heap_alloc(segue_heap* heap, uint32_t type, size_t size, uint64_t* id, void** data) {
  if (!heap->writable) return SEGUE_STATE;
  HeapImage::Record record;
  const segue_status status = heap->image.alloc(type, size, record);
  if (status == SEGUE_OK) *id = record.id;
  return changed(status, record, data);
}

int segue_heap_free(segue_heap* heap, uint64_t id) {
  return heap->writable ? heap->image.free(id) : SEGUE_STATE;
}

int segue_heap_write(segue_heap* heap, uint64_t id, void** data) {
  if (!heap->writable) return SEGUE_STATE;
  HeapImage::Record record;
  return changed(heap->image.write(id, record), record, data);
}

int segue_heap_resize(segue_heap* heap, uint64_t id, size_t size, void** data) {
  if (!heap->writable) return SEGUE_STATE;
  HeapImage::Record record;
  return changed(heap->image.resize(id, size, record), record, data);
}

const void* segue_heap_get(const segue_heap* heap, uint64_t id, size_t* size, uint32_t* type) {
  HeapImage::Record record;
  if (!heap->writable || heap->image.find(id, record) != SEGUE_OK) return nullptr;
  if (size != nullptr) *size = record.size;
  if (type != nullptr) *type = record.type;
  return record.data;
}

int segue_heap_copy(segue_heap* heap, uint64_t id, void* out, size_t size, size_t* record_size,
                    uint32_t* type) {
  HeapReader::Record record;
  if (const int code = read_slot(heap, segue::handoff::slot_of_id(id), record); code != SEGUE_OK) {
    return code;
  }
  if (!record.there || record.id != id) return SEGUE_GONE;
  if (size != 0) memcpy(out, record.bytes.data(), std::min(size, record.bytes.size()));
  if (record_size != nullptr) *record_size = record.bytes.size();
  if (type != nullptr) *type = record.type;
  return SEGUE_OK;
}

int segue_heap_next(segue_heap* heap, uint64_t* cursor, uint64_t* id) {
  if (!heap->image.valid()) return SEGUE_STATE;
  const bool fixed = heap->reader != nullptr && heap->reader->fixed();
  const uint32_t count = fixed ? heap->reader->slot_count() : heap->image.slot_count();
  HeapReader::Record record;
  while (*cursor < count) {
    const int code = read_slot(heap, static_cast<uint32_t>((*cursor)++), record);
    if (code != SEGUE_OK) return code;
    if (!record.there) continue;
    *id = record.id;
    return SEGUE_OK;
  }
  return SEGUE_GONE;
}

int segue_heap_set_root(segue_heap* heap, uint64_t id) {
  if (!heap->writable) return SEGUE_STATE;
  heap->image.set_root(id);
  return SEGUE_OK;
}

uint64_t segue_heap_root(const segue_heap* heap) {
  if (heap->reader != nullptr) return heap->reader->fixed() ? heap->reader->root : 0;
  return heap->image.valid() ? heap->image.root() : 0;
}

int segue_heap_get_usage(const segue_heap* heap, segue_heap_usage* usage) {
  if (usage->size != sizeof *usage) return SEGUE_INVALID;
  if (!heap->image.valid()) return SEGUE_STATE;
  const segue::handoff::HeapHeader header = heap->image.header_copy();
  usage->form_version = header.form_version;
  usage->records = header.records;
  usage->record_bytes = header.record_bytes;
  usage->used_bytes = header.top - heap->image.places().data_at;
  usage->max_bytes = heap->image.places().data_capacity;
  return SEGUE_OK;
}

}  // extern "C"
