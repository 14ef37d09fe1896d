// SPDX-License-Identifier: Apache-2.0
#include "handoff/record_heap.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>

namespace segue::handoff {
namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

}  // namespace

Status HeapMemory::create(const std::string& name, const HeapPlaces& places, HeapMemory& memory) {
  UniqueFd fd(memfd_create(("segue-" + name).c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return Status::system("creating heap " + name);
  if (ftruncate(fd.get(), static_cast<off_t>(places.total)) != 0) {
    return Status::system("sizing heap " + name);
  }
  if (fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) return Status::system("sealing heap " + name);
  return map(name, std::move(fd), places, true, memory);
}

Status HeapMemory::map(const std::string& name, UniqueFd fd, const HeapPlaces& places,
                       bool writable, HeapMemory& memory) {
  const int seals = fcntl(fd.get(), F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals) {
    return Status::bad(SEGUE_PEER, "heap " + name + " is not a sealed memfd");
  }
  struct stat info{};
  if (fstat(fd.get(), &info) != 0) return Status::system("looking at heap " + name);
  if (static_cast<uint64_t>(info.st_size) != places.total) {
    return Status::bad(SEGUE_PEER, "heap " + name + " has another size than announced");
  }
  HeapMemory mapped;
  const int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
  void* data = mmap(nullptr, places.total, protection, MAP_SHARED | MAP_NORESERVE, fd.get(), 0);
  if (data == MAP_FAILED) return Status::system("mapping heap " + name);
  mapped.data_ = data;
  mapped.size_ = places.total;
  mapped.fd_ = std::move(fd);
  memory = std::move(mapped);
  return Status::good();
}

bool HeapMemory::unmap_some(uint64_t bytes) {
  fd_.reset();
  const uint64_t part = std::min(bytes, size_);
  size_ -= part;
  if (part > 0) munmap(static_cast<char*>(data_) + size_, part);
  if (size_ == 0) data_ = nullptr;
  return size_ == 0;
}

void HeapMemory::unmap() {
  (void)unmap_some(size_);
}

void HeapMemory::forget(uint64_t from, uint64_t to) const {
  if (from >= to) return;
  // Best effort: what stays is overwritten later.
  (void)fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(from),
                  static_cast<off_t>(to - from));
}

HeapWay way_of(uint32_t predecessor_version, uint32_t successor_version, uint32_t wire_version) {
  if (predecessor_version == successor_version) return HeapWay::mapped;
  return wire_version == predecessor_version ? HeapWay::read : HeapWay::sent;
}

void put_heap_record(segue_writer& out, uint32_t type, std::string_view bytes) {
  reset(out);
  put_field(out, kHeapBytesTag, bytes);
  put_number(out, kHeapTypeTag, type);
}

Status convert_heap_record(const Form& form, uint32_t from, uint32_t to, segue_writer& record) {
  while (from != to) {
    const uint64_t type = get_number(record.fields, kHeapTypeTag, 0);
    const uint32_t next = from < to ? from + 1 : from - 1;
    if (Status status = form.convert(from, next, record); !status.ok()) return status;
    if (!find_field(record.fields, kHeapTypeTag)) {
      put_number(record, kHeapTypeTag, type);
      finish(record);
    }
    from = next;
  }
  return Status::good();
}

}  // namespace segue::handoff

using segue::handoff::HeapMemory;
using segue::handoff::HeapPlaces;
using segue::handoff::Status;

Status segue_heap::create(uint64_t capacity) {
  const HeapPlaces places = HeapPlaces::of(capacity);
  HeapMemory fresh;
  if (Status status = HeapMemory::create(name, places, fresh); !status.ok()) return status;
  adopt(std::move(fresh), places);
  image.format(form.range().version);
  return Status::good();
}

void segue_heap::adopt(HeapMemory mapped, const HeapPlaces& places) {
  memory = std::move(mapped);
  image = segue::handoff::HeapImage(memory.data(), places);
  in_rehearsal = false;
  in_probation = false;
}

void segue_heap::watch() {
  changed.clear();
  watched = true;
  image.next_generation();
  image.note_changes(&changed);
}

void segue_heap::stop_watching() {
  if (!watched) return;
  watched = false;
  image.note_changes(nullptr);
  changed = {};
  end_rehearsal();
}

void segue_heap::begin_rehearsal() {
  epoch_before = image.epoch();
  in_rehearsal = true;
  image.let_log_be_dropped(!in_probation);
  image.open_epoch();
}

void segue_heap::end_rehearsal() {
  if (!std::exchange(in_rehearsal, false)) return;
  image.let_log_be_dropped(false);
  image.return_to_epoch(in_probation ? epoch_before : 0);
}

void segue_heap::begin_probation() {
  in_probation = true;
  image.open_epoch();
  image.mark_work();
}

void segue_heap::end_probation() {
  // Whoever does not serve touches nothing: a third instance may own the memory by now.
  if (!std::exchange(in_probation, false) || !writable) return;
  if (in_rehearsal) return image.let_log_be_dropped(true);
  image.return_to_epoch(0);
}

void segue_heap::allow_writes(bool allowed) {
  writable = allowed && image.valid();
  // What ended while this process was frozen.
  if (writable && !in_probation && !in_rehearsal && image.epoch() != 0) {
    image.return_to_epoch(0);
  }
}

void segue_heap::give_log_back() {
  if (!writable || image.epoch() != 0) return;
  memory.forget(image.places().log_at, image.take_spent_log_end());
}

Status segue_heap::undo() {
  const segue_status status = image.undo(frozen);
  if (status == SEGUE_OK) return Status::good();
  return Status::bad(SEGUE_PEER, "heap " + name + ": what the successor changed cannot be undone");
}
