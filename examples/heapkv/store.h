// SPDX-License-Identifier: Apache-2.0
// Keys and values in a heap, index included: a successor finds everything from the root, and has
// nothing to build.
#pragma once

#include <segue/heap.h>

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

namespace heapkv {

class Store {
 public:
  // Declares the heap, which `lock` guards from here on. Entries of version 2 also count how often
  // they were written.
  bool open(segue_instance* instance, std::size_t max_bytes, std::mutex& lock);

  // In an active process: makes the index of a new heap, or finds that of a predecessor. False if
  // it cannot, or what is there is damaged.
  bool begin();
  // The service's invariant, on the moment that a rehearsal verifies. Empty: it holds.
  std::string check();
  // Of a heap that a dead process left: also that no command was under way.
  std::string check_left();

  enum class Outcome : std::uint8_t { done, missing, full, damaged };
  Outcome get(std::string_view key, std::string_view& value) const;
  Outcome set(std::string_view key, std::string_view value);
  Outcome erase(std::string_view key);
  [[nodiscard]] segue_heap_usage usage() const;
  [[nodiscard]] std::uint64_t size() const;

 private:
  struct Place {
    std::uint64_t chunk = 0;  // the record that holds the head of the chain
    std::uint32_t bucket = 0;
    std::uint64_t before = 0;  // the entry in front; 0: the head
    std::uint64_t id = 0;      // 0: there is no such entry
  };
  Outcome find(std::string_view key, Place& place) const;
  Outcome link(const Place& place, std::uint64_t next);
  bool make_index();
  bool count(std::int64_t change);
  bool begin_change();
  void end_change();
  Outcome set_marked(std::string_view key, std::string_view value);
  Outcome erase_marked(std::string_view key);

  segue_heap* heap_ = nullptr;
  std::uint64_t root_ = 0;
};

}  // namespace heapkv
