// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "entry.h"
#include "slot_map.h"

namespace respkv {

using Item = SlotMap<Entry>::Node;

// Learns of each change, after it.
class KeyspaceObserver {
 public:
  virtual void key_changed(const std::string& key) = 0;
  virtual void key_erased(const std::string& key) = 0;
  // Of all at once; before it.
  virtual void all_keys_erased() = 0;

 protected:
  ~KeyspaceObserver() = default;
};

// The keys, and when they end. Time is given: set_now() before each batch of commands.
class Keyspace {
 public:
  explicit Keyspace(KeyspaceObserver& observer) : observer_(&observer) {}

  void set_now(std::uint64_t now_ms) { now_ms_ = now_ms; }
  [[nodiscard]] std::uint64_t now_ms() const { return now_ms_; }

  // nullptr if there is no such key; one that has ended is erased first.
  Item* find(std::string_view key);
  // `key` must not be there. Tell of it with changed().
  Item& create(std::string_view key);
  // Gives it a new modification number and tells the observer.
  void changed(Item& item);
  void erase(Item& item);
  // Erases all keys; the observer learns of it once.
  void erase_all();
  // 0: never. Not yet a change.
  void set_expiry(Item& item, std::uint64_t at_ms);

  [[nodiscard]] std::size_t size() const { return items_.size(); }
  [[nodiscard]] std::size_t expiring() const { return expiry_.size(); }
  // The next end of a key; 0 if none ends.
  [[nodiscard]] std::uint64_t next_expiry_ms() const {
    return expiry_.empty() ? 0 : expiry_.begin()->first;
  }
  // Erases keys that have ended, at most `limit`.
  void erase_ended(std::size_t limit);

  // Slots, for scans: all keys are in slots below slot_count().
  [[nodiscard]] std::uint32_t slot_count() const { return items_.slot_count(); }
  Item* at(std::uint32_t slot) { return items_.at(slot); }

  // For handoffs: no clock, no observer, no new modification number.
  Item* peek(std::string_view key) { return items_.find(key); }
  Item& adopt(std::string_view key);
  void forget(std::string_view key);
  void forget_all();
  std::uint64_t last_modification = 0;

  std::uint64_t expired_keys = 0;

  // Empty if counts and indices agree; else what does not.
  std::string check();

 private:
  [[nodiscard]] bool has_ended(const Entry& entry) const {
    return entry.expires_at_ms != 0 && entry.expires_at_ms <= now_ms_;
  }

  KeyspaceObserver* observer_;
  SlotMap<Entry> items_;
  std::set<std::pair<std::uint64_t, std::uint32_t>> expiry_;  // end, slot
  std::uint64_t now_ms_ = 0;
};

}  // namespace respkv
