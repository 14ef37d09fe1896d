// SPDX-License-Identifier: Apache-2.0
#include "handoff/inventory.h"

#include <algorithm>

namespace segue::handoff {

Connections::~Connections() {
  for (segue_conn* conn : slots_) {
    if (conn == nullptr) continue;
    close(conn->fd);
    delete conn;
  }
}

segue_conn* Connections::add(segue_class* cls, int fd, void* data, bool tracking) {
  while (!free_.empty() && slots_[free_.back()] != nullptr) free_.pop_back();
  uint32_t slot = slot_count();
  if (!free_.empty()) {
    slot = free_.back();
    free_.pop_back();
  } else if (slot == kMaxSlots) {
    return nullptr;
  } else {
    slots_.push_back(nullptr);
  }
  ++generation_;
  auto* conn = new segue_conn{cls, fd, slot, generation_, data};
  slots_[slot] = conn;
  ++count_;
  if (tracking) fresh.push_back(conn->id());
  return conn;
}

segue_conn* Connections::adopt(segue_class* cls, int fd, uint64_t id) {
  const auto slot = static_cast<uint32_t>(id);
  const auto generation = static_cast<uint32_t>(id >> 32);
  if (slot >= kMaxSlots) return nullptr;
  while (slot_count() < slot) {
    free_.push_back(slot_count());
    slots_.push_back(nullptr);
  }
  if (slot_count() == slot) slots_.push_back(nullptr);
  if (slots_[slot] != nullptr) return nullptr;
  raise_generation(generation);
  slots_[slot] = new segue_conn{cls, fd, slot, generation, nullptr};
  ++count_;
  return slots_[slot];
}

segue_conn* Connections::find(uint64_t id) const {
  const auto slot = static_cast<uint32_t>(id);
  if (slot >= slot_count()) return nullptr;
  segue_conn* conn = slots_[slot];
  return conn != nullptr && conn->id() == id ? conn : nullptr;
}

void Connections::touch(segue_conn* conn) {
  if (!is_sent(*conn) || conn->dirty) return;  // an unsent one is sent with the record it has then
  conn->dirty = true;
  dirty.push_back(conn->id());
}

void Connections::remove(segue_conn* conn, bool tracking) {
  if (tracking && is_sent(*conn)) closed.push_back(conn->id());
  slots_[conn->slot] = nullptr;
  free_.push_back(conn->slot);
  --count_;
  close(conn->fd);
  delete conn;
}

void Connections::raise_generation(uint32_t at_least) {
  generation_ = std::max(generation_, at_least);
}

void Connections::forget_changes() {
  for (const uint64_t id : dirty) {
    if (segue_conn* conn = find(id)) conn->dirty = false;
  }
  fresh.clear();
  dirty.clear();
  closed.clear();
  ++handoff_;
}

void NamedFds::put(const std::string& name, UniqueFd fd, bool tracking) {
  if (Entry* known = find(name); known != nullptr && known->fd.get() == fd.get()) {
    (void)fd.release();  // it is there already
    return;
  }
  remove(name, tracking);
  entries.push_back({name, std::move(fd), false});
}

bool NamedFds::remove(const std::string& name, bool tracking) {
  const auto at = std::find_if(entries.begin(), entries.end(),
                               [&](const Entry& entry) { return entry.name == name; });
  if (at == entries.end()) return false;
  if (tracking && at->sent) removed.push_back(name);
  entries.erase(at);
  return true;
}

NamedFds::Entry* NamedFds::find(const std::string& name) {
  for (Entry& entry : entries) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

size_t NamedFds::unsent() const {
  return static_cast<size_t>(std::count_if(entries.begin(), entries.end(),
                                           [](const Entry& entry) { return !entry.sent; }));
}

void NamedFds::forget_changes() {
  removed.clear();
  for (Entry& entry : entries) entry.sent = false;
}

void Inventory::track() {
  forget_changes();
  for (const auto& heap : heaps) {
    if (!heap->retired) heap->watch();
  }
  tracking_ = true;
}

void Inventory::stop_tracking() {
  forget_changes();
  tracking_ = false;
  rebuffing = false;
}

void Inventory::forget_changes() {
  connections.forget_changes();
  listeners.forget_changes();
  descriptors.forget_changes();
  for (const auto& table : tables) table->dirty.clear();
  for (const auto& heap : heaps) heap->stop_watching();
  for (const auto& arena : arenas) {
    arena->sent = false;
    arena->sent_used = SIZE_MAX;
  }
}

size_t Inventory::changes() const {
  size_t count = connections.fresh.size() + connections.dirty.size() + connections.closed.size();
  count += listeners.unsent() + listeners.removed.size();
  count += descriptors.unsent() + descriptors.removed.size();
  for (const auto& table : tables) {
    if (table->retired) continue;
    // Emptying a table takes a successor as long as filling it: not while frozen.
    count += table->dirty.size() + (table->dirty.emptied() ? DirtyKeys::kMaxKeys : 0);
  }
  for (const auto& arena : arenas) {
    count += arena->retired || arena->sent_used == arena->used ? 0U : 1U;
  }
  for (const auto& heap : heaps) {
    const bool matters = heap->way != HeapWay::mapped || heap->digested;
    count += matters ? heap->changed.size() : 0;
  }
  return count;
}

size_t Inventory::changes_in_blackout() const {
  size_t count = changes();
  for (const auto& heap : heaps) {
    if (heap->way == HeapWay::mapped && heap->digested) count -= heap->changed.size();
  }
  return count;
}

void Inventory::let_heaps_be_written(bool writable) {
  for (const auto& heap : heaps) heap->allow_writes(writable);
}

bool Inventory::overflowed() const {
  return std::any_of(tables.begin(), tables.end(), [](const auto& table) {
    return !table->retired && table->dirty.overflowed();
  });
}

size_t Inventory::descriptor_count() const {
  return connections.count() + listeners.entries.size() + descriptors.entries.size() +
         arenas.size() + heaps.size();
}

bool Inventory::clear() {
  for (const auto& table : tables) {
    if (table->ops.clear == nullptr) return false;
  }
  for (uint32_t slot = 0; slot < connections.slot_count(); ++slot) {
    segue_conn* conn = connections.at(slot);
    if (conn == nullptr) continue;
    const uint64_t id = conn->id();
    if (conn->cls->ops.drop != nullptr) conn->cls->ops.drop(conn->cls->user, conn);
    if (connections.find(id) == conn) connections.remove(conn, false);
  }
  for (const auto& table : tables) table->ops.clear(table->user);
  return true;
}

Status encode_wire(const segue_table& table, std::string_view key, segue_writer& out) {
  reset(out);
  const int code = table.ops.encode(table.user, key.data(), key.size(), &out);
  if (code == SEGUE_GONE) return Status::bad(SEGUE_GONE, {});
  if (code != SEGUE_OK) {
    return Status::bad(SEGUE_REFUSED,
                       "table " + table.name + ": encoding a record failed: " + std::string(key));
  }
  return table.form.convert(table.form.range().version, table.wire_version, out);
}

Status encode_wire(segue_conn& conn, segue_writer& out) {
  reset(out);
  const segue_class& cls = *conn.cls;
  if (cls.ops.encode(cls.user, &conn, &out) != SEGUE_OK) {
    return Status::bad(SEGUE_REFUSED, "class " + cls.name + ": encoding a connection failed");
  }
  return cls.form.convert(cls.form.range().version, cls.wire_version, out);
}

}  // namespace segue::handoff
