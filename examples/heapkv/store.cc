// SPDX-License-Identifier: Apache-2.0
#include "store.h"

#include <atomic>
#include <cstring>
#include <functional>

#include "records.h"

namespace heapkv {
namespace {

using Outcome = Store::Outcome;

Outcome outcome(int code) {
  switch (code) {
    case SEGUE_OK:
      return Outcome::done;
    case SEGUE_LIMIT:
    case SEGUE_INVALID:
      return Outcome::full;
    case SEGUE_GONE:
      return Outcome::missing;
    default:
      return Outcome::damaged;
  }
}

// The record of type T; nullptr if it is not one.
template <typename T>
const T* view(const segue_heap* heap, std::uint64_t id, std::uint32_t type, std::size_t* whole) {
  std::size_t size = 0;
  std::uint32_t found = 0;
  const void* data = segue_heap_get(heap, id, &size, &found);
  if (whole != nullptr) *whole = size;
  return data != nullptr && found == type && size >= sizeof(T) ? static_cast<const T*>(data)
                                                               : nullptr;
}

const Entry* entry(const segue_heap* heap, std::uint64_t id) {
  std::size_t size = 0;
  const auto* found = view<Entry>(heap, id, kEntryType, &size);
  if (found == nullptr) return nullptr;
  const std::size_t wanted = sizeof(Entry) + std::size_t{found->key_size} + found->value_size;
  return wanted == size ? found : nullptr;
}

[[maybe_unused]] void count_write(EntryV1& /*entry*/) {}
[[maybe_unused]] void count_write(EntryV2& entry) {
  ++entry.writes;
}

std::string_view key_of(const Entry* entry) {
  return {reinterpret_cast<const char*>(entry + 1), entry->key_size};
}

// FNV-1a: the index outlives the process, so the hash must not depend on the build.
std::uint64_t hash_of(std::string_view key) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : key) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash ^ hash >> 32U;
}

}  // namespace

bool Store::open(segue_instance* instance, std::size_t max_bytes, std::mutex& lock) {
  segue_form form{};
  form.size = sizeof form;
  form.version = kVersion;
  form.oldest = 1;
  form.name = "heapkv.record";
  form.up = up;
  form.down = down;
  form.fields = kRecordFields.data();
  form.field_count = static_cast<std::uint32_t>(kRecordFields.size());
  heap_ = segue_heap_open(instance, "store", &form, max_bytes);
  return heap_ != nullptr &&
         segue_heap_set_lock(
             heap_, [](void* mutex) { static_cast<std::mutex*>(mutex)->lock(); },
             [](void* mutex) { static_cast<std::mutex*>(mutex)->unlock(); }, &lock) == SEGUE_OK;
}

bool Store::begin() {
  root_ = segue_heap_root(heap_);
  if (root_ == 0) return make_index();
  return view<Root>(heap_, root_, kRootType, nullptr) != nullptr;
}

bool Store::make_index() {
  void* data = nullptr;
  std::string directory;
  for (std::uint32_t i = 0; i < kChunks; ++i) {
    std::uint64_t id = 0;
    if (segue_heap_alloc(heap_, kChunkType, sizeof(Chunk), &id, &data) != SEGUE_OK) return false;
    std::memset(data, 0, sizeof(Chunk));
    directory.append(reinterpret_cast<const char*>(&id), sizeof id);
  }
  Root root{};
  if (segue_heap_alloc(heap_, kRootType, directory.size(), &root.directory, &data) != SEGUE_OK) {
    return false;
  }
  std::memcpy(data, directory.data(), directory.size());
  if (segue_heap_alloc(heap_, kRootType, sizeof root, &root_, &data) != SEGUE_OK) return false;
  std::memcpy(data, &root, sizeof root);
  return segue_heap_set_root(heap_, root_) == SEGUE_OK;
}

std::string Store::check() {
  Root root{};
  const std::uint64_t id = segue_heap_root(heap_);
  if (segue_heap_copy(heap_, id, &root, sizeof root, nullptr, nullptr) != SEGUE_OK) {
    return "the index has no root";
  }
  std::uint64_t entries = 0;
  std::uint64_t cursor = 0;
  std::uint64_t record = 0;
  while (segue_heap_next(heap_, &cursor, &record) == SEGUE_OK) {
    std::uint32_t type = 0;
    if (segue_heap_copy(heap_, record, nullptr, 0, nullptr, &type) != SEGUE_OK)
      return "a record is gone";
    if (type == kEntryType) ++entries;
  }
  if (entries == root.entries) return {};
  return "the index counts " + std::to_string(root.entries) + " entries, there are " +
         std::to_string(entries);
}

Outcome Store::find(std::string_view key, Place& place) const {
  const auto* root = view<Root>(heap_, root_, kRootType, nullptr);
  if (root == nullptr) return Outcome::damaged;
  std::size_t size = 0;
  const auto* directory = view<std::uint64_t>(heap_, root->directory, kRootType, &size);
  if (directory == nullptr || size != kChunks * sizeof(std::uint64_t)) return Outcome::damaged;
  const std::uint64_t hash = hash_of(key);
  place.chunk = directory[hash / kBucketsPerChunk % kChunks];
  place.bucket = static_cast<std::uint32_t>(hash % kBucketsPerChunk);
  const auto* chunk = view<Chunk>(heap_, place.chunk, kChunkType, nullptr);
  if (chunk == nullptr) return Outcome::damaged;
  constexpr int kLongestChain = 100'000;  // a damaged one may go in circles
  place.id = chunk->heads[place.bucket];
  for (int i = 0; i < kLongestChain; ++i) {
    if (place.id == 0) return Outcome::missing;
    const Entry* found = entry(heap_, place.id);
    if (found == nullptr) return Outcome::damaged;
    if (key_of(found) == key) return Outcome::done;
    place.before = place.id;
    place.id = found->next;
  }
  return Outcome::damaged;
}

Outcome Store::get(std::string_view key, std::string_view& value) const {
  Place place;
  if (const Outcome found = find(key, place); found != Outcome::done) return found;
  const Entry* there = entry(heap_, place.id);
  value = {reinterpret_cast<const char*>(there + 1) + there->key_size, there->value_size};
  return Outcome::done;
}

// A process may be killed between any two instructions: then it shows that it was at it.
bool Store::begin_change() {
  void* data = nullptr;
  if (segue_heap_write(heap_, root_, &data) != SEGUE_OK) return false;
  __atomic_store_n(&static_cast<Root*>(data)->changing, 1U, __ATOMIC_RELEASE);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  return true;
}

// begin_change() has announced it to the heap, in this turn of the loop.
void Store::end_change() {
  std::atomic_signal_fence(std::memory_order_seq_cst);
  const auto* root = view<Root>(heap_, root_, kRootType, nullptr);
  if (root != nullptr) __atomic_store_n(&const_cast<Root*>(root)->changing, 0U, __ATOMIC_RELEASE);
}

Outcome Store::set(std::string_view key, std::string_view value) {
  if (!begin_change()) return Outcome::full;
  const Outcome outcome = set_marked(key, value);
  end_change();
  return outcome;
}

Outcome Store::erase(std::string_view key) {
  if (!begin_change()) return Outcome::full;
  const Outcome outcome = erase_marked(key);
  end_change();
  return outcome;
}

std::string Store::check_left() {
  Root root{};
  const std::uint64_t id = segue_heap_root(heap_);
  if (segue_heap_copy(heap_, id, &root, sizeof root, nullptr, nullptr) != SEGUE_OK) {
    return "the index has no root";
  }
  if (root.changing != 0) return "a command was changing the heap when the process died";
  return check();
}

Outcome Store::set_marked(std::string_view key, std::string_view value) {
  Place place;
  const Outcome found = find(key, place);
  if (found == Outcome::damaged) return found;
  const std::size_t size = sizeof(Entry) + key.size() + value.size();
  void* data = nullptr;
  Entry header{};
  if (found == Outcome::done) {
    header = *entry(heap_, place.id);
    if (const int code = segue_heap_resize(heap_, place.id, size, &data); code != SEGUE_OK) {
      return outcome(code);
    }
  } else {
    const auto* chunk = view<Chunk>(heap_, place.chunk, kChunkType, nullptr);
    header.next = chunk->heads[place.bucket];
    const int code = segue_heap_alloc(heap_, kEntryType, size, &place.id, &data);
    if (code != SEGUE_OK) return outcome(code);
  }
  header.key_size = static_cast<std::uint32_t>(key.size());
  header.value_size = static_cast<std::uint32_t>(value.size());
  count_write(header);
  auto* bytes = static_cast<char*>(data);
  std::memcpy(bytes, &header, sizeof header);
  std::memcpy(bytes + sizeof header, key.data(), key.size());
  std::memcpy(bytes + sizeof header + key.size(), value.data(), value.size());
  if (found == Outcome::done) return found;
  Place head = place;
  head.before = 0;
  Outcome linked = count(1) ? Outcome::done : Outcome::full;
  if (linked == Outcome::done) {
    linked = link(head, place.id);
    if (linked != Outcome::done) count(-1);
  }
  if (linked != Outcome::done) segue_heap_free(heap_, place.id);
  return linked;
}

// Lets the entry in front, or the head of the chain, point to `next`.
Outcome Store::link(const Place& place, std::uint64_t next) {
  void* data = nullptr;
  const int code = segue_heap_write(heap_, place.before == 0 ? place.chunk : place.before, &data);
  if (code != SEGUE_OK) return outcome(code);
  if (place.before == 0) {
    static_cast<Chunk*>(data)->heads[place.bucket] = next;
  } else {
    static_cast<Entry*>(data)->next = next;
  }
  return Outcome::done;
}

bool Store::count(std::int64_t change) {
  void* data = nullptr;
  if (segue_heap_write(heap_, root_, &data) != SEGUE_OK) return false;
  static_cast<Root*>(data)->entries += static_cast<std::uint64_t>(change);
  return true;
}

Outcome Store::erase_marked(std::string_view key) {
  Place place;
  if (const Outcome found = find(key, place); found != Outcome::done) return found;
  const std::uint64_t next = entry(heap_, place.id)->next;
  if (!count(-1)) return Outcome::full;
  if (const Outcome linked = link(place, next); linked != Outcome::done) {
    count(1);
    return linked;
  }
  return outcome(segue_heap_free(heap_, place.id));
}

segue_heap_usage Store::usage() const {
  segue_heap_usage usage{};
  usage.size = sizeof usage;
  segue_heap_get_usage(heap_, &usage);
  return usage;
}

std::uint64_t Store::size() const {
  const auto* root = view<Root>(heap_, root_, kRootType, nullptr);
  return root == nullptr ? 0 : root->entries;
}

}  // namespace heapkv
