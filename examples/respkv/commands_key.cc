// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>

#include "command.h"
#include "glob.h"
#include "number.h"

namespace respkv {
namespace {

// A SCAN without COUNT, and how many free slots may be passed for each key that is asked for.
constexpr std::int64_t kScanCount = 10;
constexpr std::uint64_t kSlotsPerKey = 10;
constexpr std::uint64_t kMaxScanSlots = 1'000'000;

bool has_ended(Call& call, const Item& item) {
  const std::uint64_t end = item.data.expires_at_ms;
  return end != 0 && end <= call.keys().now_ms();
}

void del(Call& call) {
  std::int64_t count = 0;
  for (const std::string_view key : call.arguments.subspan(1)) {
    Item* item = call.keys().find(key);
    if (item == nullptr) continue;
    call.keys().erase(*item);
    ++count;
  }
  call.reply.integer(count);
}

void exists(Call& call) {
  const auto keys = call.arguments.subspan(1);
  call.reply.integer(std::count_if(keys.begin(), keys.end(), [&](std::string_view key) {
    return call.keys().find(key) != nullptr;
  }));
}

void type(Call& call) {
  const Item* item = call.keys().find(call[1]);
  call.reply.simple(item == nullptr ? "none" : type_name(type_of(item->data.value)));
}

void keys(Call& call) {
  std::vector<const std::string*> found;
  for (std::uint32_t slot = 0; slot < call.keys().slot_count(); ++slot) {
    const Item* item = call.keys().at(slot);
    if (item != nullptr && !has_ended(call, *item) && glob_matches(call[1], item->key)) {
      found.push_back(&item->key);
    }
  }
  call.reply.array(found.size());
  for (const std::string* key : found) call.reply.bulk(*key);
}

struct ScanOptions {
  std::int64_t count = kScanCount;
  std::string_view pattern = "*";
  std::string_view type;

  [[nodiscard]] bool accept(const Item& item) const {
    return (type.empty() || is_word(type, type_name(type_of(item.data.value)))) &&
           (pattern == "*" || glob_matches(pattern, item.key));
  }
};

// False if the client has been told of an error.
bool parse_scan_options(Call& call, ScanOptions& options) {
  for (std::size_t i = 2; i < call.size(); i += 2) {
    if (i + 1 == call.size()) {
      call.reply.syntax_error();
      return false;
    }
    if (is_word(call[i], "count")) {
      const auto count = parse_integer(call[i + 1]);
      if (!count) {
        call.reply.not_an_integer();
        return false;
      }
      options.count = *count;
    } else if (is_word(call[i], "match")) {
      options.pattern = call[i + 1];
    } else if (is_word(call[i], "type")) {
      options.type = call[i + 1];
    }
    if (options.count < 1 ||
        !(is_word(call[i], "count") || is_word(call[i], "match") || is_word(call[i], "type"))) {
      call.reply.syntax_error();
      return false;
    }
  }
  return true;
}

// The cursor is a slot: a key stays in its slot, so it is found if it is there all the time.
void scan(Call& call) {
  std::uint64_t slot = 0;
  const std::string_view cursor = call[1];
  const auto [end, error] = std::from_chars(cursor.data(), cursor.data() + cursor.size(), slot);
  if (error != std::errc{} || end != cursor.data() + cursor.size()) {
    return call.reply.error("ERR invalid cursor");
  }
  ScanOptions options;
  if (!parse_scan_options(call, options)) return;
  const auto count = static_cast<std::uint64_t>(options.count);
  std::uint64_t slots_left = std::min(count, kMaxScanSlots / kSlotsPerKey) * kSlotsPerKey;
  std::vector<const std::string*> found;
  const std::uint64_t slot_count = call.keys().slot_count();
  for (std::uint64_t keys_left = count; slot < slot_count && keys_left > 0 && slots_left > 0;
       ++slot, --slots_left) {
    const Item* item = call.keys().at(static_cast<std::uint32_t>(slot));
    if (item == nullptr) continue;
    --keys_left;
    if (!has_ended(call, *item) && options.accept(*item)) found.push_back(&item->key);
  }
  call.reply.array(2);
  call.reply.bulk(std::to_string(slot < slot_count ? slot : 0));
  call.reply.array(found.size());
  for (const std::string* key : found) call.reply.bulk(*key);
}

void dbsize(Call& call) {
  call.reply.integer(static_cast<std::int64_t>(call.keys().size()));
}

void flush(Call& call) {
  if (call.size() > 2 ||
      (call.size() == 2 && !is_word(call[1], "async") && !is_word(call[1], "sync"))) {
    return call.reply.syntax_error();
  }
  call.keys().erase_all();
  call.reply.ok();
}

void move_item(Call& call, Item& from, std::string_view to) {
  if (from.key == to) return;
  const std::uint64_t expires_at_ms = from.data.expires_at_ms;
  Value value = std::move(from.data.value);
  call.keys().erase(from);
  if (Item* old = call.keys().find(to)) call.keys().erase(*old);
  Item& item = call.keys().create(to);
  item.data.value = std::move(value);
  call.keys().set_expiry(item, expires_at_ms);
  call.keys().changed(item);
}

void rename(Call& call) {
  Item* item = call.keys().find(call[1]);
  if (item == nullptr) return call.reply.error("ERR no such key");
  move_item(call, *item, call[2]);
  call.reply.ok();
}

void renamenx(Call& call) {
  Item* item = call.keys().find(call[1]);
  if (item == nullptr) return call.reply.error("ERR no such key");
  if (call.keys().find(call[2]) != nullptr) return call.reply.integer(0);
  move_item(call, *item, call[2]);
  call.reply.integer(1);
}

void randomkey(Call& call) {
  const std::uint32_t slots = call.keys().slot_count();
  if (slots == 0) return call.reply.null();
  const auto start = static_cast<std::uint32_t>(call.engine.random() % slots);
  for (std::uint32_t i = 0; i < slots; ++i) {
    const Item* item = call.keys().at((start + i) % slots);
    if (item == nullptr || has_ended(call, *item)) continue;
    std::string key = item->key;
    call.engine.host.note(Note::choice, key);
    return call.reply.bulk(key);
  }
  call.reply.null();
}

std::string_view encoding_of(const Value& value) {
  if (const auto* text = std::get_if<std::string>(&value)) {
    return parse_integer(*text) ? "int" : text->size() <= 44 ? "embstr" : "raw";
  }
  constexpr std::string_view kNames[] = {"raw", "quicklist", "hashtable", "hashtable", "skiplist"};
  return kNames[value.index()];
}

// The item of OBJECT's key, or nullptr: the client has been told.
const Item* object_item(Call& call) {
  const Item* item = call.keys().find(call[2]);
  if (item == nullptr) call.reply.null();
  return item;
}

// Of changes: a count of reads would make each reader a writer.
void object_freq(Call& call) {
  const Item* item = object_item(call);
  if (item == nullptr) return;
  const auto changes = item->data.changes();
  if (!changes) return call.reply.error("ERR this version does not count changes");
  call.reply.integer(static_cast<std::int64_t>(*changes));
}

// Since the last change.
void object_idletime(Call& call) {
  const Item* item = object_item(call);
  if (item == nullptr) return;
  const std::uint64_t since = std::min(item->data.idle_since_ms(), call.keys().now_ms());
  call.reply.integer(static_cast<std::int64_t>((call.keys().now_ms() - since) / 1000));
}

// The longest time in milliseconds between two changes.
void object_longest_rest(Call& call) {
  const Item* item = object_item(call);
  if (item == nullptr) return;
  const auto rest_ms = item->data.longest_rest_ms();
  if (!rest_ms) return call.reply.error("ERR this version does not know the longest rest");
  call.reply.integer(static_cast<std::int64_t>(*rest_ms));
}

void object_encoding(Call& call) {
  if (const Item* item = object_item(call)) call.reply.bulk(encoding_of(item->data.value));
}

void object_refcount(Call& call) {
  if (object_item(call) != nullptr) call.reply.integer(1);
}

constexpr Command kObjectCommands[] = {
    {"object|freq", object_freq, 3, kNone, 2, 2, 1},
    {"object|idletime", object_idletime, 3, kNone, 2, 2, 1},
    {"object|longest-rest", object_longest_rest, 3, kNone, 2, 2, 1},
    {"object|encoding", object_encoding, 3, kNone, 2, 2, 1},
    {"object|refcount", object_refcount, 3, kNone, 2, 2, 1},
};

constexpr Command kCommands[] = {
    {"del", del, -2, kWrites, 1, -1, 1},
    {"unlink", del, -2, kWrites, 1, -1, 1},
    {"exists", exists, -2, kNone, 1, -1, 1},
    {"touch", exists, -2, kNone, 1, -1, 1},
    {"type", type, 2, kNone, 1, 1, 1},
    {"keys", keys, 2},
    {"scan", scan, -2},
    {"dbsize", dbsize, 1},
    {"flushall", flush, -1, kWrites},
    {"flushdb", flush, -1, kWrites},
    {"rename", rename, 3, kWrites, 1, 2, 1},
    {"renamenx", renamenx, 3, kWrites, 1, 2, 1},
    {"randomkey", randomkey, 1},
    {"object", kNoHandler, -2, kNone, 0, 0, 0, kObjectCommands},
};

}  // namespace

std::span<const Command> key_commands() {
  return kCommands;
}

}  // namespace respkv
