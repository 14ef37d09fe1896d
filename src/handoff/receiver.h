// SPDX-License-Identifier: Apache-2.0
// The successor's side of the background: applies frames to the inventory. Every byte is checked.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "handoff/heap_receiver.h"
#include "handoff/inventory.h"
#include "handoff/link.h"

namespace segue::handoff {

// What receiving tells the service; see segue_callbacks.
class ArrivalSink {
 public:
  virtual ~ArrivalSink() = default;
  virtual Status listener_arrived(const std::string& name, int fd) = 0;
  virtual Status descriptor_arrived(const std::string& name, int fd) = 0;
};

class Receiver {
 public:
  Receiver(Inventory& inventory, ArrivalSink& sink) : inventory_(inventory), sink_(sink) {}

  // The predecessor's items in their order; fills number and wire_version of this side's. Refuses
  // what this side does not declare.
  Status agree_items(std::string_view batch);

  [[nodiscard]] static bool handles(FrameType type);
  bool in_blackout = false;  // leave out what can wait
  Status apply(Message& message);

  // True when no descriptor waits for its record.
  [[nodiscard]] bool complete() const { return waiting_.empty(); }
  [[nodiscard]] uint64_t records() const { return records_ + heaps_.records(); }
  [[nodiscard]] uint64_t descriptors() const { return descriptors_; }

  using Difference = handoff::Difference;
  // Compares the digests received with this side's own records; forgets them.
  Status compare(Difference& difference);

  HeapReceiver& heaps() { return heaps_; }
  [[nodiscard]] const HeapReceiver& heaps() const { return heaps_; }

 private:
  [[nodiscard]] static bool understands(const Item& item, ItemKind kind);
  Status listeners(Message& message);
  Status descriptors(Message& message);
  Status arena(Message& message);
  Status connections(Message& message);
  Status connection_records(std::string_view payload);
  Status connection_record(segue_class& cls, uint64_t id, segue_writer& record);
  Status connections_closed(std::string_view payload);
  Status table_put(std::string_view payload);
  Status table_erase(std::string_view payload);
  Status table_clear(std::string_view payload);
  Status removed(std::string_view payload);
  Status digests(std::string_view payload, bool excluded);
  Status heap(Message& message);
  Status compare_table(const segue_table& table, Difference& difference);
  Status compare_class(const segue_class& cls, Difference& difference);
  void compare_one(const Item& item, std::string_view key, std::string_view record,
                   Difference& difference);
  void find_missing(const Item& item, Difference& difference);

  segue_table* table_of(std::string_view payload);
  segue_class* class_of(std::string_view payload);

  struct Digest {
    uint64_t value = 0;
    std::string tags;  // of the fields compared, as varints
  };
  struct Expected {
    std::unordered_map<std::string, Digest> digests;  // erased as they are compared
    std::unordered_set<std::string> excluded;
    bool all_excluded = false;  // every record of before was erased
  };

  Inventory& inventory_;
  ArrivalSink& sink_;
  std::vector<Item*> items_;
  std::vector<ItemKind> kinds_;
  std::unordered_map<uint64_t, UniqueFd> waiting_;
  std::unordered_map<uint32_t, Expected> expected_;
  HeapReceiver heaps_;
  uint64_t records_ = 0;
  uint64_t descriptors_ = 0;
};

}  // namespace segue::handoff
