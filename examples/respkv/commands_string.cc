// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>

#include "command.h"
#include "expiry_time.h"
#include "number.h"

namespace respkv {
namespace {

// The item of `key` as a string, whatever it was before; its end is kept.
Item& overwrite(Call& call, std::string_view key, std::string_view bytes) {
  Item* item = call.keys().find(key);
  if (item == nullptr) item = &call.keys().create(key);
  if (auto* text = value_as<std::string>(item->data.value)) {
    text->assign(bytes);
  } else {
    item->data.value = std::string(bytes);
  }
  return *item;
}

void store(Call& call, std::string_view key, std::string_view bytes, std::uint64_t expires_at_ms) {
  Item& item = overwrite(call, key, bytes);
  call.keys().set_expiry(item, expires_at_ms);
  call.keys().changed(item);
}

void reply_string(Call& call, const Found<std::string>& found) {
  if (found) {
    call.reply.bulk(*found.value);
  } else if (!found.wrong_type) {
    call.reply.null();
  }
}

void get(Call& call) {
  reply_string(call, read<std::string>(call, call[1]));
}

struct SetOptions {
  bool only_absent = false;
  bool only_present = false;
  bool keep_end = false;
  bool reply_old = false;
  std::optional<std::uint64_t> expires_at_ms;
};

// False if the client has been told of an error.
bool parse_set_options(Call& call, SetOptions& options) {
  for (std::size_t i = 3; i < call.size(); ++i) {
    const std::string_view word = call[i];
    const auto unit = time_unit_of(word);
    if (is_word(word, "nx")) {
      options.only_absent = true;
    } else if (is_word(word, "xx")) {
      options.only_present = true;
    } else if (is_word(word, "keepttl")) {
      options.keep_end = true;
    } else if (is_word(word, "get")) {
      options.reply_old = true;
    } else if (unit && i + 1 < call.size() && !options.expires_at_ms) {
      options.expires_at_ms = parse_expiry_time(call, call[++i], *unit);
      if (!options.expires_at_ms) return false;
    } else {
      call.reply.syntax_error();
      return false;
    }
  }
  if ((options.only_absent && options.only_present) ||
      (options.keep_end && options.expires_at_ms)) {
    call.reply.syntax_error();
    return false;
  }
  return true;
}

void set(Call& call) {
  if (call.size() == 3) {
    store(call, call[1], call[2], 0);
    return call.reply.ok();
  }
  SetOptions options;
  if (!parse_set_options(call, options)) return;
  const Item* item = nullptr;
  if (options.reply_old) {
    const auto old = find<std::string>(call, call[1]);
    if (old.wrong_type) return;
    reply_string(call, old);
    item = old.item;
  } else {
    item = call.keys().find(call[1]);
  }
  if (item != nullptr ? options.only_absent : options.only_present) {
    if (!options.reply_old) call.reply.null();
    return;
  }
  const std::uint64_t kept = item != nullptr && options.keep_end ? item->data.expires_at_ms : 0;
  store(call, call[1], call[2], options.expires_at_ms.value_or(kept));
  if (!options.reply_old) call.reply.ok();
}

void set_with_unit(Call& call, TimeUnit unit) {
  const auto expires_at_ms = parse_expiry_time(call, call[2], unit);
  if (!expires_at_ms) return;
  store(call, call[1], call[3], *expires_at_ms);
  call.reply.ok();
}
void setex(Call& call) {
  set_with_unit(call, TimeUnit::seconds_from_now);
}
void psetex(Call& call) {
  set_with_unit(call, TimeUnit::milliseconds_from_now);
}

void setnx(Call& call) {
  const bool absent = call.keys().find(call[1]) == nullptr;
  if (absent) store(call, call[1], call[2], 0);
  call.reply.integer(absent ? 1 : 0);
}

void getset(Call& call) {
  const auto old = find<std::string>(call, call[1]);
  if (old.wrong_type) return;
  reply_string(call, old);
  store(call, call[1], call[2], 0);
}

void getdel(Call& call) {
  const auto old = find<std::string>(call, call[1]);
  reply_string(call, old);
  if (old) call.keys().erase(*old.item);
}

void append(Call& call) {
  const auto found = find_or_create<std::string>(call, call[1]);
  if (!found) return;
  if (found.value->size() + call[2].size() > kMaxBulkBytes) {
    return call.reply.error("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
  }
  found.value->append(call[2]);
  call.keys().changed(*found.item);
  call.reply.integer(static_cast<std::int64_t>(found.value->size()));
}

void strlen(Call& call) {
  const auto found = read<std::string>(call, call[1]);
  if (found.wrong_type) return;
  call.reply.integer(found ? static_cast<std::int64_t>(found.value->size()) : 0);
}

void getrange(Call& call) {
  auto start = parse_integer(call[2]);
  auto stop = parse_integer(call[3]);
  if (!start || !stop) return call.reply.not_an_integer();
  const auto found = read<std::string>(call, call[1]);
  if (found.wrong_type) return;
  const auto size = static_cast<std::int64_t>(found ? found.value->size() : 0);
  const bool reversed = *start < 0 && *stop < 0 && *start > *stop;
  if (*stop < -size) *stop = -size;  // unlike a list's, a string's range has its first byte then
  if (!found || reversed || !clamp_range(size, *start, *stop)) return call.reply.bulk("");
  call.reply.bulk(
      std::string_view(*found.value)
          .substr(static_cast<std::size_t>(*start), static_cast<std::size_t>(*stop - *start + 1)));
}

void setrange(Call& call) {
  const auto offset = parse_integer(call[2]);
  if (!offset) return call.reply.not_an_integer();
  if (*offset < 0) return call.reply.error("ERR offset is out of range");
  const std::string_view bytes = call[3];
  if (*offset > static_cast<std::int64_t>(kMaxBulkBytes - bytes.size())) {
    return call.reply.error("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
  }
  if (bytes.empty()) return strlen(call);
  const auto found = find_or_create<std::string>(call, call[1]);
  if (!found) return;
  const auto at = static_cast<std::size_t>(*offset);
  if (found.value->size() < at + bytes.size()) found.value->resize(at + bytes.size());
  std::copy(bytes.begin(), bytes.end(), found.value->begin() + *offset);
  call.keys().changed(*found.item);
  call.reply.integer(static_cast<std::int64_t>(found.value->size()));
}

void mget(Call& call) {
  call.reply.array(call.size() - 1);
  for (const std::string_view key : call.arguments.subspan(1)) {
    Item* item = call.keys().find(key);
    const auto* text = item == nullptr ? nullptr : value_as<std::string>(item->data.value);
    text == nullptr ? call.reply.null() : call.reply.bulk(*text);
  }
}

void store_pairs(Call& call) {
  for (std::size_t i = 1; i < call.size(); i += 2) store(call, call[i], call[i + 1], 0);
}

void mset(Call& call) {
  if (call.size() % 2 == 0) return call.wrong_arity();
  store_pairs(call);
  call.reply.ok();
}

void msetnx(Call& call) {
  if (call.size() % 2 == 0) return call.wrong_arity();
  for (std::size_t i = 1; i < call.size(); i += 2) {
    if (call.keys().find(call[i]) != nullptr) return call.reply.integer(0);
  }
  store_pairs(call);
  call.reply.integer(1);
}

constexpr Command kCommands[] = {
    {"get", get, 2, kNone, 1, 1, 1},
    {"set", set, -3, kWrites, 1, 1, 1},
    {"setex", setex, 4, kWrites, 1, 1, 1},
    {"psetex", psetex, 4, kWrites, 1, 1, 1},
    {"setnx", setnx, 3, kWrites, 1, 1, 1},
    {"getset", getset, 3, kWrites, 1, 1, 1},
    {"getdel", getdel, 2, kWrites, 1, 1, 1},
    {"append", append, 3, kWrites, 1, 1, 1},
    {"strlen", strlen, 2, kNone, 1, 1, 1},
    {"getrange", getrange, 4, kNone, 1, 1, 1},
    {"setrange", setrange, 4, kWrites, 1, 1, 1},
    {"mget", mget, -2, kNone, 1, -1, 1},
    {"mset", mset, -3, kWrites, 1, -1, 2},
    {"msetnx", msetnx, -3, kWrites, 1, -1, 2},
};

}  // namespace

std::span<const Command> string_commands() {
  return kCommands;
}

}  // namespace respkv
