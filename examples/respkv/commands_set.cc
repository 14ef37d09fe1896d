// SPDX-License-Identifier: Apache-2.0
#include <optional>

#include "command.h"
#include "number.h"

namespace respkv {
namespace {

void sadd(Call& call) {
  const auto found = find_or_create<Set>(call, call[1]);
  if (!found) return;
  std::int64_t added = 0;
  for (const std::string_view member : call.arguments.subspan(2)) {
    if (found.value->insert(member).second) ++added;
  }
  if (added > 0) call.keys().changed(*found.item);
  call.reply.integer(added);
}

void srem(Call& call) {
  const auto found = find<Set>(call, call[1]);
  if (found.wrong_type) return;
  std::int64_t count = 0;
  if (found) {
    for (const std::string_view member : call.arguments.subspan(2)) {
      if (found.value->erase(member)) ++count;
    }
    if (count > 0) changed_or_gone(call, found);
  }
  call.reply.integer(count);
}

void smembers(Call& call) {
  const auto found = read<Set>(call, call[1]);
  if (found.wrong_type) return;
  call.reply.set(found ? found.value->size() : 0);
  if (!found) return;
  for (const auto& item : found.value->items()) call.reply.bulk(item.key);
}

void sismember(Call& call) {
  const auto found = read<Set>(call, call[1]);
  if (!found.wrong_type) {
    call.reply.integer(found && found.value->find(call[2]) != nullptr ? 1 : 0);
  }
}

void scard(Call& call) {
  const auto found = read<Set>(call, call[1]);
  if (!found.wrong_type) {
    call.reply.integer(found ? static_cast<std::int64_t>(found.value->size()) : 0);
  }
}

// Which one it is depends on how this process has ordered them.
std::string random_member(Call& call, const Set& set) {
  std::string member = set.items()[static_cast<std::size_t>(call.engine.random() % set.size())].key;
  call.engine.host.note(Note::choice, member);
  return member;
}

void spop(Call& call) {
  if (call.size() > 3) return call.wrong_arity();
  std::optional<std::int64_t> count;
  if (call.size() == 3) {
    count = parse_integer(call[2]);
    if (!count || *count < 0) {
      return call.reply.error("ERR value is out of range, must be positive");
    }
  }
  const auto found = find<Set>(call, call[1]);
  if (found.wrong_type) return;
  const auto wanted = static_cast<std::size_t>(count.value_or(1));
  const std::size_t taken = found ? std::min(wanted, found.value->size()) : 0;
  if (count) {
    call.reply.set(taken);
  } else if (!found) {
    call.reply.null();
  }
  for (std::size_t i = 0; i < taken; ++i) {
    const std::string member = random_member(call, *found.value);
    call.reply.bulk(member);
    found.value->erase(member);
  }
  if (taken > 0) changed_or_gone(call, found);
}

void srandmember(Call& call) {
  const auto found = read<Set>(call, call[1]);
  if (found.wrong_type) return;
  if (!found) return call.reply.null();
  call.reply.bulk(random_member(call, *found.value));
}

constexpr Command kCommands[] = {
    {"sadd", sadd, -3, kWrites, 1, 1, 1},
    {"srem", srem, -3, kWrites, 1, 1, 1},
    {"smembers", smembers, 2, kNone, 1, 1, 1},
    {"sismember", sismember, 3, kNone, 1, 1, 1},
    {"scard", scard, 2, kNone, 1, 1, 1},
    {"spop", spop, -2, kWrites, 1, 1, 1},
    {"srandmember", srandmember, 2, kNone, 1, 1, 1},
};

}  // namespace

std::span<const Command> set_commands() {
  return kCommands;
}

}  // namespace respkv
