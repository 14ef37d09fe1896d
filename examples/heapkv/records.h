// SPDX-License-Identifier: Apache-2.0
// What lies in the heap, and how its two versions become each other.
#pragma once

#include <segue/heap.h>

#include <array>
#include <cstdint>
#include <type_traits>

namespace heapkv {

inline constexpr std::uint32_t kVersion = HEAPKV_VERSION;
static_assert(kVersion == 1 || kVersion == 2);

enum RecordType : std::uint32_t { kRootType = 1, kChunkType = 2, kEntryType = 3 };

inline constexpr std::uint32_t kBucketsPerChunk = 64;
inline constexpr std::uint32_t kChunks = 16'384;

// The root: every chunk of the index. It changes with each key that comes or goes.
struct Root {
  std::uint64_t entries;
  std::uint64_t directory;  // a record of kChunks ids
  std::uint64_t changing;   // 1 while a command changes the heap
};
struct Chunk {
  std::uint64_t heads[kBucketsPerChunk];
};

// Key and value follow.
struct EntryV1 {
  std::uint64_t next;
  std::uint32_t key_size;
  std::uint32_t value_size;
};
struct EntryV2 {
  std::uint64_t next;
  std::uint32_t key_size;
  std::uint32_t value_size;
  std::uint64_t writes;
};
using Entry = std::conditional_t<kVersion == 1, EntryV1, EntryV2>;

// What version 1 has no place for, within an entry's bytes.
inline constexpr std::array<segue_form_field, 1> kRecordFields = {
    {{SEGUE_HEAP_BYTES, 1, "an entry's number of writes"}}};

// Converters of the form; see segue_convert.
int up(void* user, std::uint32_t from, const segue_record* in, segue_writer* out);
int down(void* user, std::uint32_t from, const segue_record* in, segue_writer* out);

}  // namespace heapkv
