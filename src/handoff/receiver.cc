// SPDX-License-Identifier: Apache-2.0
#include "handoff/receiver.h"

namespace segue::handoff {
namespace {

Status malformed(FrameType type) {
  return Status::bad(SEGUE_PEER, "a malformed " + std::string(frame_name(type)));
}

template <typename T>
T* find_item(const std::vector<std::unique_ptr<T>>& items, std::string_view name) {
  for (const auto& item : items) {
    if (item->name == name) return item.get();
  }
  return nullptr;
}

// Visits the batch in field 2; false if it is malformed.
template <typename Visit>
Status visit_batch(FrameType type, std::string_view payload, Visit visit) {
  std::string_view batch = get_bytes(payload, 2);
  while (!batch.empty()) {
    const auto entry = take_batch_entry(batch);
    if (!entry) return malformed(type);
    if (Status status = visit(*entry); !status.ok()) return status;
  }
  return Status::good();
}

// A record that arrived, taken to this side's version.
Status decode(const Form& form, uint32_t wire_version, std::string_view bytes, segue_writer& out) {
  if (!is_record(bytes))
    return Status::bad(SEGUE_PEER, "a malformed record of form " + form.name());
  reset(out);
  out.fields.assign(bytes);
  return form.convert(wire_version, form.range().version, out);
}

}  // namespace

bool Receiver::understands(const Item& item, ItemKind kind) {
  const auto within = [&item](FormRange range) {
    return item.wire_version >= range.oldest && item.wire_version <= range.version;
  };
  switch (kind) {
    case ItemKind::table:
      return within(static_cast<const segue_table&>(item).form.range());
    case ItemKind::connection_class:
      return within(static_cast<const segue_class&>(item).form.range());
    case ItemKind::arena:
      return item.wire_version == static_cast<const segue_arena&>(item).form_version;
    case ItemKind::heap:
      return within(static_cast<const segue_heap&>(item).form.range());
  }
  return false;
}

Status Receiver::agree_items(std::string_view batch) {
  constexpr size_t kMaxItems = 4096;
  while (!batch.empty()) {
    const auto entry = take_batch_entry(batch);
    if (!entry || !is_record(entry->value) || items_.size() == kMaxItems) {
      return malformed(FrameType::accept);
    }
    const auto kind = static_cast<ItemKind>(get_number(entry->value, 1, 0));
    Item* item = nullptr;
    if (kind == ItemKind::table) item = find_item(inventory_.tables, entry->key);
    if (kind == ItemKind::connection_class) item = find_item(inventory_.classes, entry->key);
    if (kind == ItemKind::arena) item = find_item(inventory_.arenas, entry->key);
    if (kind == ItemKind::heap) item = find_item(inventory_.heaps, entry->key);
    if (item == nullptr) {
      return Status::bad(SEGUE_REFUSED, "the predecessor has " + std::string(entry->key) +
                                            ", which this version does not declare");
    }
    item->number = static_cast<uint32_t>(items_.size());
    item->wire_version = static_cast<uint32_t>(get_number(entry->value, 2, 0));
    if (!understands(*item, kind)) return malformed(FrameType::accept);
    if (kind == ItemKind::arena) {
      auto* arena = static_cast<segue_arena*>(item);
      arena->max_size = get_number(entry->value, 3, 0);
    }
    if (kind == ItemKind::heap) {
      Status status = heaps_.agree(*static_cast<segue_heap*>(item), entry->value);
      if (!status.ok()) return status;
    }
    items_.push_back(item);
    kinds_.push_back(kind);
  }
  return Status::good();
}

segue_table* Receiver::table_of(std::string_view payload) {
  const uint64_t number = get_number(payload, 1, items_.size());
  if (number >= items_.size() || kinds_[number] != ItemKind::table) return nullptr;
  return static_cast<segue_table*>(items_[number]);
}

segue_class* Receiver::class_of(std::string_view payload) {
  const uint64_t number = get_number(payload, 1, items_.size());
  if (number >= items_.size() || kinds_[number] != ItemKind::connection_class) return nullptr;
  return static_cast<segue_class*>(items_[number]);
}

bool Receiver::handles(FrameType type) {
  return (type >= FrameType::listeners && type <= FrameType::removed) ||
         type == FrameType::digests || type == FrameType::excluded ||
         (type >= FrameType::table_clear && type <= FrameType::heap_mark);
}

Status Receiver::apply(Message& message) {
  const bool is_batch =
      message.type == FrameType::listeners || message.type == FrameType::descriptors;
  if (!is_batch && !is_record(message.payload)) return malformed(message.type);
  const bool carries_fds = is_batch || message.type == FrameType::arena ||
                           message.type == FrameType::connections ||
                           message.type == FrameType::heap;
  if (!carries_fds && !message.fds.empty()) return malformed(message.type);
  switch (message.type) {
    case FrameType::listeners:
      return listeners(message);
    case FrameType::descriptors:
      return descriptors(message);
    case FrameType::arena:
      return arena(message);
    case FrameType::connections:
      return connections(message);
    case FrameType::connection_records:
      return connection_records(message.payload);
    case FrameType::connections_closed:
      return connections_closed(message.payload);
    case FrameType::table_put:
      return table_put(message.payload);
    case FrameType::table_erase:
      return table_erase(message.payload);
    case FrameType::table_clear:
      return table_clear(message.payload);
    case FrameType::removed:
      return removed(message.payload);
    case FrameType::digests:
      return digests(message.payload, false);
    case FrameType::excluded:
      return digests(message.payload, true);
    case FrameType::heap:
    case FrameType::heap_slots:
    case FrameType::heap_put:
    case FrameType::heap_mark:
      return heap(message);
    default:
      return malformed(message.type);
  }
}

Status Receiver::listeners(Message& message) {
  std::string_view batch = message.payload;
  for (UniqueFd& fd : message.fds) {
    const auto entry = take_batch_entry(batch);
    if (!entry || !is_name(entry->key)) return malformed(message.type);
    const std::string name(entry->key);
    const int raw = fd.get();
    inventory_.listeners.put(name, std::move(fd), false);
    ++descriptors_;
    if (Status status = sink_.listener_arrived(name, raw); !status.ok()) return status;
  }
  return batch.empty() ? Status::good() : malformed(message.type);
}

Status Receiver::descriptors(Message& message) {
  std::string_view batch = message.payload;
  for (UniqueFd& fd : message.fds) {
    const auto entry = take_batch_entry(batch);
    if (!entry || !is_name(entry->key)) return malformed(message.type);
    const std::string name(entry->key);
    const int raw = fd.get();
    inventory_.descriptors.put(name, std::move(fd), false);
    ++descriptors_;
    if (Status status = sink_.descriptor_arrived(name, raw); !status.ok()) return status;
  }
  return batch.empty() ? Status::good() : malformed(message.type);
}

Status Receiver::arena(Message& message) {
  const uint64_t number = get_number(message.payload, 1, items_.size());
  if (number >= items_.size() || kinds_[number] != ItemKind::arena || message.fds.size() > 1) {
    return malformed(message.type);
  }
  auto& arena = *static_cast<segue_arena*>(items_[number]);
  const uint64_t used = get_number(message.payload, 2, 0);
  if (used > arena.max_size) return malformed(message.type);
  if (!message.fds.empty()) {
    if (Status status = map_arena(arena, std::move(message.fds[0])); !status.ok()) return status;
    ++descriptors_;
  }
  if (arena.data == nullptr) return malformed(message.type);
  arena.used = used;
  if (!in_blackout) populate_arena(arena);
  return Status::good();
}

Status Receiver::heap(Message& message) {
  const uint64_t number = get_number(message.payload, 1, items_.size());
  if (number >= items_.size() || kinds_[number] != ItemKind::heap || message.fds.size() > 1) {
    return malformed(message.type);
  }
  descriptors_ += message.fds.size();
  return heaps_.apply(message.type, *static_cast<segue_heap*>(items_[number]), message.payload,
                      message.fds.empty() ? nullptr : message.fds.data());
}

Status Receiver::connections(Message& message) {
  if (class_of(message.payload) == nullptr) return malformed(message.type);
  if (get_number(message.payload, 2, 0) != message.fds.size()) return malformed(message.type);
  std::string_view ids = get_bytes(message.payload, 3);
  for (UniqueFd& fd : message.fds) {
    const auto id = take_u64(ids);
    if (!id || !waiting_.emplace(*id, std::move(fd)).second) return malformed(message.type);
    ++descriptors_;
  }
  return ids.empty() ? Status::good() : malformed(message.type);
}

Status Receiver::connection_records(std::string_view payload) {
  segue_class* cls = class_of(payload);
  if (cls == nullptr) return malformed(FrameType::connection_records);
  segue_writer record;
  return visit_batch(FrameType::connection_records, payload, [&](const BatchEntry& entry) {
    std::string_view key = entry.key;
    const auto id = take_u64(key);
    if (!id || !key.empty()) return malformed(FrameType::connection_records);
    if (Status status = decode(cls->form, cls->wire_version, entry.value, record); !status.ok()) {
      return status;
    }
    ++records_;
    return connection_record(*cls, *id, record);
  });
}

Status Receiver::connection_record(segue_class& cls, uint64_t id, segue_writer& record) {
  const segue_record view{record.fields};
  const auto waiting = waiting_.find(id);
  if (waiting == waiting_.end()) {
    segue_conn* known = inventory_.connections.find(id);
    if (known == nullptr || known->cls != &cls) return malformed(FrameType::connection_records);
    if (cls.ops.update(cls.user, known, &view) == SEGUE_OK) return Status::good();
    return Status::bad(SEGUE_REFUSED, "class " + cls.name + ": updating a connection failed");
  }
  segue_conn* conn = inventory_.connections.adopt(&cls, waiting->second.get(), id);
  if (conn == nullptr) return malformed(FrameType::connection_records);
  waiting->second.release();
  waiting_.erase(waiting);
  if (cls.ops.adopt(cls.user, conn, conn->fd, &view) == SEGUE_OK) return Status::good();
  return Status::bad(SEGUE_REFUSED, "class " + cls.name + ": adopting a connection failed");
}

Status Receiver::connections_closed(std::string_view payload) {
  std::string_view ids = get_bytes(payload, 1);
  while (!ids.empty()) {
    const auto id = take_u64(ids);
    segue_conn* conn = id ? inventory_.connections.find(*id) : nullptr;
    if (conn == nullptr) return malformed(FrameType::connections_closed);
    if (conn->cls->ops.drop != nullptr) conn->cls->ops.drop(conn->cls->user, conn);
    // The service may have closed it itself.
    if (inventory_.connections.find(*id) == conn) inventory_.connections.remove(conn);
  }
  return Status::good();
}

Status Receiver::table_put(std::string_view payload) {
  segue_table* table = table_of(payload);
  if (table == nullptr) return malformed(FrameType::table_put);
  segue_writer record;
  return visit_batch(FrameType::table_put, payload, [&](const BatchEntry& entry) {
    Status status = decode(table->form, table->wire_version, entry.value, record);
    if (!status.ok()) return status;
    const segue_record view{record.fields};
    ++records_;
    if (table->ops.put(table->user, entry.key.data(), entry.key.size(), &view) == SEGUE_OK) {
      return Status::good();
    }
    return Status::bad(
        SEGUE_REFUSED,
        "table " + table->name + ": this version cannot take record " + std::string(entry.key));
  });
}

Status Receiver::table_erase(std::string_view payload) {
  segue_table* table = table_of(payload);
  if (table == nullptr) return malformed(FrameType::table_erase);
  return visit_batch(FrameType::table_erase, payload, [&](const BatchEntry& entry) {
    ++records_;
    if (table->ops.erase(table->user, entry.key.data(), entry.key.size()) == SEGUE_OK) {
      return Status::good();
    }
    return Status::bad(SEGUE_REFUSED, "table " + table->name +
                                          ": erasing a record failed: " + std::string(entry.key));
  });
}

Status Receiver::table_clear(std::string_view payload) {
  segue_table* table = table_of(payload);
  if (table == nullptr) return malformed(FrameType::table_clear);
  if (table->ops.clear == nullptr) {
    return Status::bad(SEGUE_REFUSED, "table " + table->name +
                                          " was emptied, but this version declares no `clear`");
  }
  table->ops.clear(table->user);
  return Status::good();
}

Status Receiver::removed(std::string_view payload) {
  const std::string name(get_bytes(payload, 2));
  Status status = Status::good();
  switch (get_number(payload, 1, 0)) {
    case 1:  // the service first: it may have to take the descriptor out of its loop
      status = sink_.listener_arrived(name, -1);
      inventory_.listeners.remove(name, false);
      return status;
    case 2:
      status = sink_.descriptor_arrived(name, -1);
      inventory_.descriptors.remove(name, false);
      return status;
    default:
      return malformed(FrameType::removed);
  }
}

Status Receiver::digests(std::string_view payload, bool excluded) {
  const FrameType type = excluded ? FrameType::excluded : FrameType::digests;
  const uint64_t number = get_number(payload, 1, items_.size());
  if (number >= items_.size()) return malformed(type);
  Expected& expected = expected_[static_cast<uint32_t>(number)];
  expected.all_excluded = expected.all_excluded || (excluded && get_number(payload, 3, 0) == 1);
  return visit_batch(type, payload, [&](const BatchEntry& entry) {
    if (excluded) {
      expected.excluded.emplace(entry.key);
      return Status::good();
    }
    std::string_view value = entry.value;
    const auto digest = take_u64(value);
    if (!digest) return malformed(type);
    expected.digests.emplace(entry.key, Digest{*digest, std::string(value)});
    return Status::good();
  });
}

}  // namespace segue::handoff
