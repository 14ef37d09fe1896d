// SPDX-License-Identifier: Apache-2.0
#include "handoff/inventory.h"

#include <algorithm>

namespace segue::handoff {

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

Inventory::~Inventory() = default;

void Inventory::share() {
  connections.share();
  for (const auto& table : tables) table->dirty.share();
}

void Inventory::track() {
  forget_changes(true);
  for (const auto& heap : heaps) {
    const HeapGuard guard(*heap);
    if (!heap->retired) heap->watch();
  }
  tracking_ = true;
}

void Inventory::stop_tracking() {
  tracking_ = false;
  forget_changes(false);
  rebuffing = false;
}

void Inventory::forget_changes(bool track) {
  connections.track(track);
  listeners.forget_changes();
  descriptors.forget_changes();
  for (const auto& table : tables) table->dirty.clear();
  for (const auto& heap : heaps) {
    {
      const HeapGuard guard(*heap);
      heap->stop_watching();
    }
    heap->give_log_back();
  }
  for (const auto& arena : arenas) {
    arena->sent = false;
    arena->sent_used = SIZE_MAX;
  }
}

size_t Inventory::changes_beside_heaps() const {
  size_t count = connections.changes();
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
  return count;
}

size_t Inventory::changes() const {
  size_t count = changes_beside_heaps();
  for (const auto& heap : heaps) {
    const HeapGuard guard(*heap);
    count += heap->way != HeapWay::mapped || heap->digested ? heap->changed.size() : 0;
  }
  return count;
}

size_t Inventory::changes_in_blackout() const {
  size_t count = changes_beside_heaps();
  for (const auto& heap : heaps) {
    const HeapGuard guard(*heap);
    count += heap->way != HeapWay::mapped ? heap->changed.size() : 0;
  }
  return count;
}

void Inventory::let_heaps_be_written(bool writable) {
  for (const auto& heap : heaps) {
    const HeapGuard guard(*heap);
    heap->allow_writes(writable);
  }
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
    if (connections.find(id) == conn) connections.remove(conn);
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
