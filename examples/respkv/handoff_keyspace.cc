// SPDX-License-Identifier: Apache-2.0
#include "handoff_keyspace.h"

#include <bit>
#include <cstring>
#include <optional>

#include "entry_form.h"
#include "records.h"

namespace respkv {
namespace {

// For --break rehearsal.
constexpr std::string_view kBrokenKey = "segue:break";
bool breaks_rehearsal = false;

// Free slots passed per call and key, so that one call is short however empty the keyspace is.
constexpr std::uint64_t kSlotsPerKey = 16;

std::string_view as_text(const void* data, std::size_t size) {
  return {static_cast<const char*>(data), size};
}

Engine& engine_of(void* user) {
  return static_cast<Server*>(user)->engine;
}

int scan(void* user, std::uint64_t* cursor, std::uint32_t max_keys, segue_scan* out) {
  const Server::Exclusive exclusive(*static_cast<Server*>(user));
  Keyspace& keys = engine_of(user).keys;
  std::uint32_t listed = 0;
  const std::uint64_t last = *cursor + max_keys * kSlotsPerKey;
  for (; *cursor < keys.slot_count() && *cursor < last && listed < max_keys; ++*cursor) {
    const Item* item = keys.at(static_cast<std::uint32_t>(*cursor));
    if (item == nullptr) continue;
    segue_scan_key(out, item->key.data(), item->key.size());
    ++listed;
  }
  return *cursor < keys.slot_count() ? 1 : 0;
}

void write(segue_writer* out, const std::string& text) {
  put_text(out, entry_tag::kString, text);
}
void write(segue_writer* out, const std::unique_ptr<List>& list) {
  for (const std::string& element : *list) put_text(out, entry_tag::kElement, element);
}
void write(segue_writer* out, const std::unique_ptr<Hash>& hash) {
  for (const auto& [field, value] : hash->items()) {
    put_text(out, entry_tag::kField, field);
    put_text(out, entry_tag::kFieldValue, value);
  }
}
void write(segue_writer* out, const std::unique_ptr<Set>& set) {
  for (const auto& item : set->items()) put_text(out, entry_tag::kElement, item.key);
}
void write(segue_writer* out, const std::unique_ptr<SortedSet>& sorted_set) {
  for (const auto& [score, member] : sorted_set->by_score) {
    put_text(out, entry_tag::kMember, member);
    segue_put(out, entry_tag::kScore, &score, sizeof score);
  }
}

int encode(void* user, const void* key, std::size_t key_size, segue_writer* out) {
  const Server::Exclusive exclusive(*static_cast<Server*>(user));
  const Item* item = engine_of(user).keys.peek(as_text(key, key_size));
  if (item == nullptr) return SEGUE_GONE;
  const Entry& entry = item->data;
  segue_put_u64(out, entry_tag::kType, entry.value.index());
  std::visit([out](const auto& value) { write(out, value); }, entry.value);
  Entry::visit_numbers(
      entry, [out](std::uint32_t tag, std::uint64_t number) { put_number(out, tag, number); });
  if (entry.unknown_fields) {
    segue_put_fields(out, entry.unknown_fields->data(), entry.unknown_fields->size());
  }
  if (breaks_rehearsal && item->key == kBrokenKey) put_text(out, entry_tag::kString, "wrong");
  return SEGUE_OK;
}

std::vector<std::uint32_t> known_tags() {
  std::vector<std::uint32_t> tags{entry_tag::kType,  entry_tag::kString,     entry_tag::kElement,
                                  entry_tag::kField, entry_tag::kFieldValue, entry_tag::kMember,
                                  entry_tag::kScore};
  Entry empty;
  Entry::visit_numbers(empty, [&](std::uint32_t tag, std::uint64_t) { tags.push_back(tag); });
  return tags;
}

// Values of fields come in the order of their fields, but behind all of them.
Value read_hash(const segue_record* record) {
  auto hash = std::make_unique<Hash>();
  std::vector<std::string_view> fields;
  std::size_t next = 0;
  for_each_field(record, [&](std::uint32_t tag, std::string_view bytes) {
    if (tag == entry_tag::kField) fields.push_back(bytes);
    if (tag == entry_tag::kFieldValue && next < fields.size()) {
      hash->insert(fields[next++]).first->assign(bytes);
    }
  });
  return hash;
}

Value read_sorted_set(const segue_record* record) {
  auto sorted_set = std::make_unique<SortedSet>();
  std::vector<std::string_view> members;
  std::size_t next = 0;
  for_each_field(record, [&](std::uint32_t tag, std::string_view bytes) {
    if (tag == entry_tag::kMember) members.push_back(bytes);
    double score = 0;
    if (tag != entry_tag::kScore || next >= members.size() || bytes.size() != sizeof score) return;
    std::memcpy(&score, bytes.data(), sizeof score);
    sorted_set->put(members[next++], score);
  });
  return sorted_set;
}

template <class Add>
void for_each_element(const segue_record* record, Add add) {
  for_each_field(record, [&](std::uint32_t tag, std::string_view bytes) {
    if (tag == entry_tag::kElement) add(bytes);
  });
}

std::optional<Value> read_value(const segue_record* record) {
  constexpr std::uint64_t kNoType = UINT64_MAX;
  const std::uint64_t type = segue_get_u64(record, entry_tag::kType, kNoType);
  if (type >= std::variant_size_v<Value>) return std::nullopt;
  switch (static_cast<ValueType>(type)) {
    case ValueType::string:
      return std::string(get_text(record, entry_tag::kString));
    case ValueType::hash:
      return read_hash(record);
    case ValueType::sorted_set:
      return read_sorted_set(record);
    case ValueType::list: {
      auto list = std::make_unique<List>();
      for_each_element(record, [&](std::string_view bytes) { list->emplace_back(bytes); });
      return list;
    }
    case ValueType::set: {
      auto set = std::make_unique<Set>();
      for_each_element(record, [&](std::string_view bytes) { set->insert(bytes); });
      return set;
    }
  }
  return std::nullopt;
}

int put(void* user, const void* key, std::size_t key_size, const segue_record* record) {
  static const std::vector<std::uint32_t> known = known_tags();
  auto value = read_value(record);
  if (!value) return SEGUE_INVALID;
  Keyspace& keys = engine_of(user).keys;
  Item& item = keys.adopt(as_text(key, key_size));
  Entry& entry = item.data;
  entry.value = std::move(*value);
  Entry::visit_numbers(entry, [record](std::uint32_t tag, std::uint64_t& number) {
    number = segue_get_u64(record, tag, 0);
  });
  const std::uint64_t expires_at_ms = std::exchange(entry.expires_at_ms, 0);
  keys.set_expiry(item, expires_at_ms);
  std::string unknown = unknown_fields(record, known);
  if (!unknown.empty()) entry.unknown_fields = std::make_unique<std::string>(std::move(unknown));
  return SEGUE_OK;
}

int erase(void* user, const void* key, std::size_t key_size) {
  engine_of(user).keys.forget(as_text(key, key_size));
  return SEGUE_OK;
}

void clear(void* user) {
  engine_of(user).keys.forget_all();
}

// The record "service": the number behind each tag.
template <class Visit>
void visit_service(Engine& engine, Visit visit) {
  visit(1, engine.next_client_id);
  visit(2, engine.next_rank);
  visit(3, engine.keys.last_modification);
  visit(4, engine.keys.expired_keys);
  visit(5, engine.statistics.connections);
  visit(6, engine.statistics.commands);
  visit(7, engine.statistics.keyspace_hits);
  visit(8, engine.statistics.keyspace_misses);
  visit(9, engine.statistics.closed_on_reclaim);
  visit(10, engine.statistics.closed_over_limit);
  visit(11, engine.statistics.handoffs);
}

int service_scan(void* /*user*/, std::uint64_t* /*cursor*/, std::uint32_t /*max*/,
                 segue_scan* out) {
  segue_scan_key(out, "service", 7);
  return 0;
}

int service_encode(void* user, const void* /*key*/, std::size_t /*size*/, segue_writer* out) {
  const Server::Exclusive exclusive(*static_cast<Server*>(user));
  visit_service(engine_of(user),
                [out](std::uint32_t tag, std::uint64_t number) { put_number(out, tag, number); });
  return SEGUE_OK;
}

int service_put(void* user, const void* /*key*/, std::size_t /*size*/, const segue_record* record) {
  visit_service(engine_of(user), [record](std::uint32_t tag, std::uint64_t& number) {
    number = segue_get_u64(record, tag, 0);
  });
  return SEGUE_OK;
}

int service_erase(void* /*user*/, const void* /*key*/, std::size_t /*size*/) {
  return SEGUE_OK;
}

void service_clear(void* user) {
  Engine& engine = engine_of(user);
  visit_service(engine, [](std::uint32_t, std::uint64_t& number) { number = 0; });
  engine.next_client_id = 1;
  engine.next_rank = 1;
}

}  // namespace

segue_table* open_keyspace_table(segue_instance* handle, Server& server, bool break_form,
                                 bool break_rehearsal) {
  constexpr std::uint32_t kUnreadableVersion = 1000;
  breaks_rehearsal = break_rehearsal;
  segue_form form{};
  form.size = sizeof form;
  form.version = break_form ? kUnreadableVersion : Entry::kFormVersion;
  form.oldest = break_form ? kUnreadableVersion : 1;
  form.name = "respkv.entry";
  form.up = entry_up;
  form.down = entry_down;
  form.fields = kEntryFields.data();
  form.field_count = static_cast<std::uint32_t>(kEntryFields.size());
  segue_table_ops ops{};
  ops.size = sizeof ops;
  ops.scan = scan;
  ops.encode = encode;
  ops.put = put;
  ops.erase = erase;
  ops.clear = clear;
  return segue_table_open(handle, "keyspace", &form, &ops, 0, &server);
}

segue_table* open_service_table(segue_instance* handle, Server& server) {
  segue_form form{};
  form.size = sizeof form;
  form.version = 1;
  form.oldest = 1;
  form.name = "respkv.service";
  segue_table_ops ops{};
  ops.size = sizeof ops;
  ops.scan = service_scan;
  ops.encode = service_encode;
  ops.put = service_put;
  ops.erase = service_erase;
  ops.clear = service_clear;
  return segue_table_open(handle, "service", &form, &ops, 0, &server);
}

}  // namespace respkv
