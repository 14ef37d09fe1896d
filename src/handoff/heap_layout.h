// SPDX-License-Identifier: Apache-2.0
// How a heap lies in its arena. All places are offsets from the start of the arena;
// protocol/heap.md describes it, because a predecessor's arena is read by a successor of another
// build.
//
//   header (a page) | slots | data: blocks of the records | log: what was there before
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace segue::handoff {

inline constexpr uint64_t kHeapMagic = 0x3170616568677365;  // "esgheap1"
inline constexpr uint32_t kHeapLayoutVersion = 1;
inline constexpr uint64_t kHeapHeaderBytes = 4096;
inline constexpr uint64_t kSmallestBlock = 32;
inline constexpr uint32_t kNoSlot = UINT32_MAX;
inline constexpr uint64_t kMaxHeapBytes = uint64_t{1} << 44;

// Block sizes: multiples of 32 up to 256, then four per doubling up to 2^29.
inline constexpr uint32_t kBlockClasses = 8 + 4 * 21;
inline constexpr uint64_t kLargestBlock = uint64_t{1} << 29;

struct HeapSlot {
  uint64_t offset = 0;      // of its block; 0: free
  uint32_t generation = 0;  // raised when it becomes free: half of the record's id
  uint32_t stamp = 0;       // the heap's generation at the last change
  uint64_t digest = 0;      // of the record, where kDigestValid; of a free slot: the one before it
  uint32_t flags = 0;
  uint32_t next_free = 0;
};
static_assert(sizeof(HeapSlot) == 32);
inline constexpr uint32_t kDigestValid = 1;

// In front of each record's bytes, and of each free block.
struct HeapBlock {
  uint32_t size = 0;  // bytes of the record
  uint32_t slot = 0;  // kNoSlot: free; the offset of the next free one of its class follows
  uint32_t type = 0;
  uint32_t block_class = 0;
};
static_assert(sizeof(HeapBlock) == 16);
inline constexpr uint64_t kLargestRecord = kLargestBlock - sizeof(HeapBlock);

// Whether a call that changes the heap is under way, so that it shows where the process was killed.
enum class HeapWork : uint32_t { unmarked = 0, at_rest = 1, under_way = 2 };

struct HeapHeader {
  uint64_t magic = 0;
  uint32_t layout = 0;
  uint32_t form_version = 0;
  uint64_t data_capacity = 0;
  uint64_t top = 0;  // from here on the data was never used
  uint32_t slot_count = 0;
  uint32_t free_slot = 0;
  uint32_t generation = 0;
  uint32_t epoch = 0;  // changes to records older than this are logged; 0: nothing is
  uint64_t log_end = 0;
  uint64_t records = 0;
  uint64_t record_bytes = 0;
  uint64_t digest_sum = 0;  // of the valid digests, modulo 2^64
  uint64_t root = 0;
  std::array<uint64_t, kBlockClasses> free_blocks{};
  HeapWork work = HeapWork::unmarked;
  uint32_t reserved = 0;
};
static_assert(sizeof(HeapHeader) <= kHeapHeaderBytes);

enum class LogKind : uint32_t { record = 1, slot = 2, bytes = 3 };

// An entry of the log; `length` bytes that were at `offset` follow, padded to 16.
struct LogEntry {
  LogKind kind{};
  uint32_t slot = 0;
  uint64_t offset = 0;
  uint64_t length = 0;
  uint64_t reserved = 0;
  HeapSlot before;  // of kinds record and slot
};
static_assert(sizeof(LogEntry) == 64);

// Where things are, from the data capacity alone.
struct HeapPlaces {
  uint64_t data_capacity = 0;
  uint64_t slot_capacity = 0;
  uint64_t data_at = 0;
  uint64_t log_at = 0;
  uint64_t total = 0;

  static constexpr uint64_t kSlotsAt = kHeapHeaderBytes;
  // `data_capacity` of at most kMaxHeapBytes.
  static constexpr HeapPlaces of(uint64_t data_capacity) {
    constexpr uint64_t kPage = 4096;
    constexpr uint64_t kMaxSlots = uint64_t{1} << 31;
    HeapPlaces places;
    places.data_capacity = (data_capacity + kPage - 1) / kPage * kPage;
    places.slot_capacity = places.data_capacity / kSmallestBlock;
    if (places.slot_capacity > kMaxSlots) places.slot_capacity = kMaxSlots;
    places.data_at = kSlotsAt + places.slot_capacity * sizeof(HeapSlot);
    places.data_at = (places.data_at + kPage - 1) / kPage * kPage;
    places.log_at = places.data_at + places.data_capacity;
    // Each record once, and as many small entries. Pages that are not touched cost nothing.
    places.total = places.log_at + 2 * places.data_capacity + kPage;
    return places;
  }
};

constexpr uint64_t block_bytes(uint32_t block_class) {
  if (block_class < 8) return (block_class + 1) * kSmallestBlock;
  const uint32_t doubling = (block_class - 8) / 4;
  const uint64_t base = uint64_t{256} << doubling;
  return base + base / 4 * ((block_class - 8) % 4 + 1);
}

// Of the smallest blocks that hold `bytes`, at most kLargestBlock.
constexpr uint32_t class_of_bytes(uint64_t bytes) {
  if (bytes <= 256) {
    return bytes == 0 ? 0 : static_cast<uint32_t>((bytes - 1) / kSmallestBlock);
  }
  const auto highest = static_cast<uint32_t>(63 - __builtin_clzll(bytes - 1));
  const uint64_t base = uint64_t{1} << highest;
  return 8 + (highest - 8) * 4 + static_cast<uint32_t>((bytes - 1 - base) / (base / 4));
}

constexpr uint64_t heap_id(uint32_t slot, uint32_t generation) {
  return uint64_t{generation} << 32 | slot;
}
constexpr uint32_t slot_of_id(uint64_t id) {
  return static_cast<uint32_t>(id);
}

}  // namespace segue::handoff
