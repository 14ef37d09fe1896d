// SPDX-License-Identifier: Apache-2.0
// What stands behind segue_heap: a heap image in an arena of its own, and what of it has changed.
#pragma once

#include <vector>

#include "handoff/form.h"
#include "handoff/heap_image.h"
#include "handoff/item.h"
#include "handoff/unique_fd.h"

namespace segue::handoff {

class HeapReader;

// Sealed shared memory and this process's view of it.
class HeapMemory {
 public:
  HeapMemory() = default;
  HeapMemory(HeapMemory&& other) noexcept { swap(other); }
  HeapMemory& operator=(HeapMemory&& other) noexcept {
    swap(other);
    return *this;
  }
  HeapMemory(const HeapMemory&) = delete;
  HeapMemory& operator=(const HeapMemory&) = delete;
  ~HeapMemory() { unmap(); }

  static Status create(const std::string& name, const HeapPlaces& places, HeapMemory& memory);
  // Checks seals and size.
  static Status map(const std::string& name, UniqueFd fd, const HeapPlaces& places, bool writable,
                    HeapMemory& memory);
  [[nodiscard]] void* data() const { return data_; }
  [[nodiscard]] int fd() const { return fd_.get(); }
  // Lets go of `bytes` more of the view, from the end; true when there is no more.
  bool unmap_some(uint64_t bytes);
  void unmap();
  // Gives pages back to the kernel: they read as zero.
  void forget(uint64_t from, uint64_t to) const;

 private:
  void swap(HeapMemory& other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
  }
  UniqueFd fd_;
  void* data_ = nullptr;
  uint64_t size_ = 0;
};

// How a heap gets to a successor.
enum class HeapWay : uint32_t {
  mapped = 1,  // both map the same arena
  read = 2,    // the successor reads the predecessor's arena and converts
  sent = 3     // the predecessor converts and sends: only it knows its newer form
};

HeapWay way_of(uint32_t predecessor_version, uint32_t successor_version, uint32_t wire_version);

// Tags of a heap's record on the wire and in converters.
inline constexpr uint32_t kHeapBytesTag = 1;
inline constexpr uint32_t kHeapTypeTag = 2;
void put_heap_record(segue_writer& out, uint32_t type, std::string_view bytes);
// As Form::convert(); a converter that leaves the type out keeps it.
Status convert_heap_record(const Form& form, uint32_t from, uint32_t to, segue_writer& record);

}  // namespace segue::handoff

struct segue_heap : segue::handoff::Item {
  const segue_instance* instance = nullptr;
  segue::handoff::Form form;
  uint64_t max_size = 0;
  segue::handoff::HeapMemory memory;
  segue::handoff::HeapImage image;                                // invalid before it is there
  bool writable = false;                                          // this process serves
  segue::handoff::HeapWay way = segue::handoff::HeapWay::mapped;  // of the handoff under way

  bool digested = false;  // its digests are kept current, for a rehearsal
  // Successor, before `activate`: how to read what the predecessor writes; nullptr: the image
  // itself.
  segue::handoff::HeapReader* reader = nullptr;

  // The service's own, where it has one.
  void (*lock)(void* user) = nullptr;
  void (*unlock)(void* user) = nullptr;
  void* lock_user = nullptr;

  // From `activate` to `freeze` and from `resume` on.
  void allow_writes(bool allowed);
  // Creates an empty one.
  segue::handoff::Status create(uint64_t capacity);
  // Takes a view of a predecessor's as its own.
  void adopt(segue::handoff::HeapMemory mapped, const segue::handoff::HeapPlaces& places);

  // Predecessor: the slots changed since the last round began.
  std::vector<uint32_t> changed;
  bool watched = false;  // `changed` is kept
  void watch();
  void stop_watching();

  // The rehearsal's snapshot, and the successor's way back in probation: both keep the log. The
  // pages of one that has ended stay until give_log_back(). Where a rehearsal alone fills the log,
  // it is the rehearsal that ends.
  void begin_rehearsal();
  void end_rehearsal();
  [[nodiscard]] bool lost_rehearsal() const { return in_rehearsal && image.log_was_dropped(); }
  void begin_probation();
  void end_probation();
  // Predecessor: what undo() returns to.
  void note_freeze() {
    image.stop_marking_work();
    frozen = image.header_copy();
  }
  segue::handoff::Status undo();
  // On the instance's thread, which alone begins a log; without the lock: it takes long.
  void give_log_back();

 private:
  bool in_rehearsal = false;
  bool in_probation = false;
  uint32_t epoch_before = 0;
  segue::handoff::HeapHeader frozen;
};

namespace segue::handoff {

// Keeps the service's other threads from a heap while the library looks at it, or changes it.
class HeapGuard {
 public:
  explicit HeapGuard(const segue_heap& heap) : heap_(heap) {
    if (heap_.lock != nullptr) heap_.lock(heap_.lock_user);
  }
  ~HeapGuard() {
    if (heap_.unlock != nullptr) heap_.unlock(heap_.lock_user);
  }
  HeapGuard(const HeapGuard&) = delete;
  HeapGuard& operator=(const HeapGuard&) = delete;

 private:
  const segue_heap& heap_;
};

}  // namespace segue::handoff
