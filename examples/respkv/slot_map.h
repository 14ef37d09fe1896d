// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "hash.h"

namespace respkv {

// A hash table whose nodes stay in numbered slots as long as they exist. A cursor over slots thus
// lists every node that exists during the whole scan exactly once, whatever is inserted or erased
// meanwhile. It grows by one bucket per insertion (linear hashing), so no insertion is slow.
template <class Data>
class SlotMap {
 public:
  struct Node {
    std::string key;
    Data data;
    std::uint32_t slot = 0;
    std::uint32_t hash = 0;
    std::uint32_t next = kNone;  // in the bucket's chain, or in the list of free slots
    bool occupied = false;
  };

  SlotMap() { clear(); }

  [[nodiscard]] std::size_t size() const { return size_; }
  // Every occupied slot is below.
  [[nodiscard]] std::uint32_t slot_count() const { return slot_count_; }

  // nullptr where the slot is free.
  Node* at(std::uint32_t slot) {
    Node& node = node_at(slot);
    return node.occupied ? &node : nullptr;
  }

  Node* find(std::string_view key) {
    const auto hash = static_cast<std::uint32_t>(hash_bytes(key));
    for (std::uint32_t slot = bucket(bucket_of(hash)); slot != kNone;) {
      Node& node = node_at(slot);
      if (node.hash == hash && node.key == key) return &node;
      slot = node.next;
    }
    return nullptr;
  }

  // `key` must not be there.
  Node& insert(std::string_view key) {
    if (size_ >= bucket_count_) split_a_bucket();
    Node& node = take_free_slot();
    node.key.assign(key);
    node.hash = static_cast<std::uint32_t>(hash_bytes(key));
    node.occupied = true;
    std::uint32_t& head = bucket(bucket_of(node.hash));
    node.next = head;
    head = node.slot;
    ++size_;
    return node;
  }

  void erase(Node& node) {
    std::uint32_t* link = &bucket(bucket_of(node.hash));
    while (*link != node.slot) link = &node_at(*link).next;
    *link = node.next;
    node.key = std::string();
    node.data = Data();
    node.occupied = false;
    node.next = first_free_;
    first_free_ = node.slot;
    --size_;
  }

  void clear() {
    chunks_.clear();
    buckets_.clear();
    size_ = 0;
    slot_count_ = 0;
    first_free_ = kNone;
    bucket_count_ = kChunk;
    low_mask_ = kChunk - 1;
    add_bucket_chunk();
  }

 private:
  static constexpr std::uint32_t kNone = UINT32_MAX;
  static constexpr std::uint32_t kChunk = 1024;  // slots, and buckets, are allocated in chunks

  Node& node_at(std::uint32_t slot) { return chunks_[slot / kChunk][slot % kChunk]; }
  std::uint32_t& bucket(std::uint32_t number) { return buckets_[number / kChunk][number % kChunk]; }

  [[nodiscard]] std::uint32_t bucket_of(std::uint32_t hash) const {
    const std::uint32_t high = hash & (low_mask_ * 2 + 1);
    return high < bucket_count_ ? high : hash & low_mask_;
  }

  void add_bucket_chunk() {
    buckets_.push_back(std::make_unique<std::uint32_t[]>(kChunk));
    for (std::uint32_t i = 0; i < kChunk; ++i) buckets_.back()[i] = kNone;
  }

  // The new bucket takes its share of the bucket that held it so far.
  void split_a_bucket() {
    const std::uint32_t added = bucket_count_;
    if (added % kChunk == 0) add_bucket_chunk();
    ++bucket_count_;
    std::uint32_t* link = &bucket(added & low_mask_);
    while (*link != kNone) {
      Node& node = node_at(*link);
      if ((node.hash & (low_mask_ * 2 + 1)) == added) {
        const std::uint32_t slot = *link;
        *link = node.next;
        node.next = bucket(added);
        bucket(added) = slot;
      } else {
        link = &node.next;
      }
    }
    if (bucket_count_ == (low_mask_ + 1) * 2) low_mask_ = low_mask_ * 2 + 1;
  }

  Node& take_free_slot() {
    if (first_free_ != kNone) {
      Node& node = node_at(first_free_);
      first_free_ = node.next;
      return node;
    }
    if (slot_count_ % kChunk == 0) chunks_.push_back(std::make_unique<Node[]>(kChunk));
    Node& node = node_at(slot_count_);
    node.slot = slot_count_++;
    return node;
  }

  std::vector<std::unique_ptr<Node[]>> chunks_;
  std::vector<std::unique_ptr<std::uint32_t[]>> buckets_;  // the first slot of each chain
  std::size_t size_ = 0;
  std::uint32_t slot_count_ = 0;
  std::uint32_t first_free_ = kNone;
  std::uint32_t bucket_count_ = 0;
  std::uint32_t low_mask_ = 0;  // bucket_count_ lies in (low_mask_, 2 * low_mask_ + 1]
};

}  // namespace respkv
