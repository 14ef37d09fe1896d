// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "hash.h"

namespace respkv {

struct Nothing {};

// A map that keeps its items in one vector, in an order that depends on nothing but the calls made:
// two processes that insert the same items in the same order list them in the same order. Small
// maps are searched; larger ones have an index.
template <class Value>
class CompactMap {
 public:
  struct Item {
    std::string key;
    [[no_unique_address]] Value value;
  };

  [[nodiscard]] std::size_t size() const { return items_.size(); }
  [[nodiscard]] bool empty() const { return items_.empty(); }
  [[nodiscard]] const std::vector<Item>& items() const { return items_; }

  Value* find(std::string_view key) {
    const std::size_t position = position_of(key);
    return position == kNone ? nullptr : &items_[position].value;
  }

  // The value of `key`, and whether it is new.
  std::pair<Value*, bool> insert(std::string_view key) {
    if (Value* present = find(key)) return {present, false};
    items_.push_back({std::string(key), Value{}});
    if (!index_.empty() && items_.size() * 2 <= index_.size()) {
      link(hash_of(key), static_cast<std::uint32_t>(items_.size() - 1));
    } else if (items_.size() > kSearched) {
      rebuild_index();
    }
    return {&items_.back().value, true};
  }

  bool erase(std::string_view key) {
    const std::size_t position = position_of(key);
    if (position == kNone) return false;
    erase_at(position);
    return true;
  }

  // The last item takes the place of the erased one.
  void erase_at(std::size_t position) {
    const std::size_t last = items_.size() - 1;
    if (!index_.empty()) unlink(position);
    if (position != last) {
      if (!index_.empty()) {
        index_[index_slot(hash_of(items_[last].key), last)].position =
            static_cast<std::uint32_t>(position);
      }
      items_[position] = std::move(items_[last]);
    }
    items_.pop_back();
  }

 private:
  struct Link {
    std::uint32_t hash = 0;
    std::uint32_t position = kFree;
  };

  static constexpr std::size_t kNone = SIZE_MAX;
  static constexpr std::uint32_t kFree = UINT32_MAX;
  static constexpr std::size_t kSearched = 8;

  static std::uint32_t hash_of(std::string_view key) {
    return static_cast<std::uint32_t>(hash_bytes(key));
  }

  [[nodiscard]] std::size_t position_of(std::string_view key) const {
    if (index_.empty()) {
      for (std::size_t i = 0; i < items_.size(); ++i) {
        if (items_[i].key == key) return i;
      }
      return kNone;
    }
    const std::uint32_t hash = hash_of(key);
    const std::size_t mask = index_.size() - 1;
    for (std::size_t i = hash & mask; index_[i].position != kFree; i = (i + 1) & mask) {
      if (index_[i].hash == hash && items_[index_[i].position].key == key)
        return index_[i].position;
    }
    return kNone;
  }

  // Where the index names `position`, which it does.
  [[nodiscard]] std::size_t index_slot(std::uint32_t hash, std::size_t position) const {
    const std::size_t mask = index_.size() - 1;
    std::size_t i = hash & mask;
    while (index_[i].position != position) i = (i + 1) & mask;
    return i;
  }

  void link(std::uint32_t hash, std::uint32_t position) {
    const std::size_t mask = index_.size() - 1;
    std::size_t i = hash & mask;
    while (index_[i].position != kFree) i = (i + 1) & mask;
    index_[i] = {hash, position};
  }

  // Linear probing without tombstones: what follows moves up where it may.
  void unlink(std::size_t position) {
    const std::size_t mask = index_.size() - 1;
    std::size_t hole = index_slot(hash_of(items_[position].key), position);
    index_[hole] = {};
    for (std::size_t i = (hole + 1) & mask; index_[i].position != kFree; i = (i + 1) & mask) {
      const std::size_t home = index_[i].hash & mask;
      if (((i - home) & mask) >= ((i - hole) & mask)) {
        index_[hole] = std::exchange(index_[i], {});
        hole = i;
      }
    }
  }

  void rebuild_index() {
    std::size_t size = 32;
    while (size < items_.size() * 4) size *= 2;
    index_.assign(size, {});
    for (std::size_t i = 0; i < items_.size(); ++i) {
      link(hash_of(items_[i].key), static_cast<std::uint32_t>(i));
    }
  }

  std::vector<Item> items_;
  std::vector<Link> index_;  // a power of two, at most half full; empty while the map is small
};

}  // namespace respkv
