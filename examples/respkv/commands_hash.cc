// SPDX-License-Identifier: Apache-2.0
#include "command.h"
#include "number.h"

namespace respkv {
namespace {

// Sets the pairs; nullopt-like -1 if the client has been told of an error, else the new fields.
std::int64_t set_pairs(Call& call) {
  if (call.size() % 2 != 0) {
    call.wrong_arity();
    return -1;
  }
  const auto found = find_or_create<Hash>(call, call[1]);
  if (!found) return -1;
  std::int64_t added = 0;
  for (std::size_t i = 2; i < call.size(); i += 2) {
    const auto [value, is_new] = found.value->insert(call[i]);
    value->assign(call[i + 1]);
    if (is_new) ++added;
  }
  call.keys().changed(*found.item);
  return added;
}

void hset(Call& call) {
  const std::int64_t added = set_pairs(call);
  if (added >= 0) call.reply.integer(added);
}

void hmset(Call& call) {
  if (set_pairs(call) >= 0) call.reply.ok();
}

void hsetnx(Call& call) {
  const auto found = find_or_create<Hash>(call, call[1]);
  if (!found) return;
  const auto [value, is_new] = found.value->insert(call[2]);
  if (is_new) {
    value->assign(call[3]);
    call.keys().changed(*found.item);
  }
  call.reply.integer(is_new ? 1 : 0);
}

void reply_field(Call& call, const Found<Hash>& found, std::string_view field) {
  const std::string* value = found ? found.value->find(field) : nullptr;
  value == nullptr ? call.reply.null() : call.reply.bulk(*value);
}

void hget(Call& call) {
  const auto found = read<Hash>(call, call[1]);
  if (!found.wrong_type) reply_field(call, found, call[2]);
}

void hmget(Call& call) {
  const auto found = read<Hash>(call, call[1]);
  if (found.wrong_type) return;
  call.reply.array(call.size() - 2);
  for (const std::string_view field : call.arguments.subspan(2)) reply_field(call, found, field);
}

void hgetall(Call& call) {
  const auto found = read<Hash>(call, call[1]);
  if (found.wrong_type) return;
  call.reply.map(found ? found.value->size() : 0);
  if (!found) return;
  for (const auto& [field, value] : found.value->items()) {
    call.reply.bulk(field);
    call.reply.bulk(value);
  }
}

void hkeys(Call& call) {
  const auto found = read<Hash>(call, call[1]);
  if (found.wrong_type) return;
  call.reply.array(found ? found.value->size() : 0);
  if (!found) return;
  for (const auto& item : found.value->items()) call.reply.bulk(item.key);
}

void hvals(Call& call) {
  const auto found = read<Hash>(call, call[1]);
  if (found.wrong_type) return;
  call.reply.array(found ? found.value->size() : 0);
  if (!found) return;
  for (const auto& item : found.value->items()) call.reply.bulk(item.value);
}

void hdel(Call& call) {
  const auto found = find<Hash>(call, call[1]);
  if (found.wrong_type) return;
  std::int64_t count = 0;
  if (found) {
    for (const std::string_view field : call.arguments.subspan(2)) {
      if (found.value->erase(field)) ++count;
    }
    if (count > 0) changed_or_gone(call, found);
  }
  call.reply.integer(count);
}

void hlen(Call& call) {
  const auto found = read<Hash>(call, call[1]);
  if (!found.wrong_type) {
    call.reply.integer(found ? static_cast<std::int64_t>(found.value->size()) : 0);
  }
}

void hexists(Call& call) {
  const auto found = read<Hash>(call, call[1]);
  if (!found.wrong_type) {
    call.reply.integer(found && found.value->find(call[2]) != nullptr ? 1 : 0);
  }
}

void hincrby(Call& call) {
  const auto amount = parse_integer(call[3]);
  if (!amount) return call.reply.not_an_integer();
  const auto present = find<Hash>(call, call[1]);
  if (present.wrong_type) return;
  std::int64_t sum = 0;
  if (const std::string* value = present ? present.value->find(call[2]) : nullptr) {
    const auto number = parse_integer(*value);
    if (!number) return call.reply.error("ERR hash value is not an integer");
    sum = *number;
  }
  if (__builtin_add_overflow(sum, *amount, &sum)) {
    return call.reply.error("ERR increment or decrement would overflow");
  }
  const auto found = find_or_create<Hash>(call, call[1]);
  *found.value->insert(call[2]).first = std::to_string(sum);
  call.keys().changed(*found.item);
  call.reply.integer(sum);
}

constexpr Command kCommands[] = {
    {"hset", hset, -4, kWrites, 1, 1, 1},    {"hmset", hmset, -4, kWrites, 1, 1, 1},
    {"hsetnx", hsetnx, 4, kWrites, 1, 1, 1}, {"hget", hget, 3, kNone, 1, 1, 1},
    {"hmget", hmget, -3, kNone, 1, 1, 1},    {"hgetall", hgetall, 2, kNone, 1, 1, 1},
    {"hkeys", hkeys, 2, kNone, 1, 1, 1},     {"hvals", hvals, 2, kNone, 1, 1, 1},
    {"hdel", hdel, -3, kWrites, 1, 1, 1},    {"hlen", hlen, 2, kNone, 1, 1, 1},
    {"hexists", hexists, 3, kNone, 1, 1, 1}, {"hincrby", hincrby, 4, kWrites, 1, 1, 1},
};

}  // namespace

std::span<const Command> hash_commands() {
  return kCommands;
}

}  // namespace respkv
