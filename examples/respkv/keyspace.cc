// SPDX-License-Identifier: Apache-2.0
#include "keyspace.h"

#include <fmt/format.h>

#include <utility>

namespace respkv {

Item* Keyspace::find(std::string_view key) {
  Item* item = items_.find(key);
  if (item == nullptr || !has_ended(item->data)) return item;
  ++expired_keys;
  erase(*item);
  return nullptr;
}

Item& Keyspace::create(std::string_view key) {
  Item& item = items_.insert(key);
  item.data.note_created(now_ms_);
  return item;
}

void Keyspace::changed(Item& item) {
  item.data.modification = ++last_modification;
  item.data.note_changed(now_ms_);
  observer_->key_changed(item.key);
}

void Keyspace::erase(Item& item) {
  set_expiry(item, 0);
  const std::string key = std::move(item.key);
  items_.erase(item);
  observer_->key_erased(key);
}

void Keyspace::erase_all() {
  observer_->all_keys_erased();
  forget_all();
}

void Keyspace::set_expiry(Item& item, std::uint64_t at_ms) {
  if (item.data.expires_at_ms == at_ms) return;
  if (item.data.expires_at_ms != 0) expiry_.erase({item.data.expires_at_ms, item.slot});
  item.data.expires_at_ms = at_ms;
  if (at_ms != 0) expiry_.emplace(at_ms, item.slot);
}

void Keyspace::erase_ended(std::size_t limit) {
  for (; limit > 0 && !expiry_.empty() && expiry_.begin()->first <= now_ms_; --limit) {
    ++expired_keys;
    erase(*items_.at(expiry_.begin()->second));
  }
}

Item& Keyspace::adopt(std::string_view key) {
  Item* item = items_.find(key);
  if (item == nullptr) return items_.insert(key);
  set_expiry(*item, 0);
  item->data = Entry();
  return *item;
}

void Keyspace::forget(std::string_view key) {
  Item* item = items_.find(key);
  if (item == nullptr) return;
  set_expiry(*item, 0);
  items_.erase(*item);
}

void Keyspace::forget_all() {
  items_.clear();
  expiry_.clear();
}

std::string Keyspace::check() {
  std::size_t found = 0;
  std::size_t expiring = 0;
  for (std::uint32_t slot = 0; slot < items_.slot_count(); ++slot) {
    const Item* item = items_.at(slot);
    if (item == nullptr) continue;
    ++found;
    if (items_.find(item->key) != item) return fmt::format("key '{}' is not found", item->key);
    if (item->data.modification > last_modification) {
      return fmt::format("key '{}' has modification {}, above the newest, {}", item->key,
                         item->data.modification, last_modification);
    }
    if (item->data.expires_at_ms == 0) continue;
    ++expiring;
    if (!expiry_.contains({item->data.expires_at_ms, slot})) {
      return fmt::format("the end of key '{}' is missing in the index", item->key);
    }
  }
  if (found != items_.size()) return fmt::format("{} keys, counted {}", found, items_.size());
  if (expiring != expiry_.size()) {
    return fmt::format("{} keys end, {} are in the index", expiring, expiry_.size());
  }
  return {};
}

}  // namespace respkv
