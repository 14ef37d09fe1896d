// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <limits>

#include "command.h"
#include "expiry_time.h"
#include "number.h"

namespace respkv {

std::optional<TimeUnit> time_unit_of(std::string_view word) {
  if (is_word(word, "ex")) return TimeUnit::seconds_from_now;
  if (is_word(word, "px")) return TimeUnit::milliseconds_from_now;
  if (is_word(word, "exat")) return TimeUnit::seconds_of_day;
  if (is_word(word, "pxat")) return TimeUnit::milliseconds_of_day;
  return std::nullopt;
}

std::optional<std::int64_t> parse_time(Call& call, std::string_view amount, TimeUnit unit) {
  const auto number = parse_integer(amount);
  if (!number) {
    call.reply.not_an_integer();
    return std::nullopt;
  }
  const bool seconds = unit == TimeUnit::seconds_from_now || unit == TimeUnit::seconds_of_day;
  const bool relative =
      unit == TimeUnit::seconds_from_now || unit == TimeUnit::milliseconds_from_now;
  const std::int64_t scale = seconds ? 1000 : 1;
  const auto now = static_cast<std::int64_t>(call.keys().now_ms());
  if (*number > std::numeric_limits<std::int64_t>::max() / 2000 ||
      *number < std::numeric_limits<std::int64_t>::min() / 2000) {
    call.reply.error(fmt::format("ERR invalid expire time in '{}' command", call.command.name));
    return std::nullopt;
  }
  return *number * scale + (relative ? now : 0);
}

std::optional<std::uint64_t> parse_expiry_time(Call& call, std::string_view amount, TimeUnit unit) {
  if (const auto number = parse_integer(amount); number && *number <= 0) {
    call.reply.error(fmt::format("ERR invalid expire time in '{}' command", call.command.name));
    return std::nullopt;
  }
  const auto time = parse_time(call, amount, unit);
  if (!time) return std::nullopt;
  return static_cast<std::uint64_t>(*time);
}

namespace {

// NX, XX, GT, LT. False if the client has been told of an error.
bool condition_holds(Call& call, std::int64_t at_ms, std::uint64_t current_ms, bool& holds) {
  holds = true;
  for (const std::string_view word : call.arguments.subspan(3)) {
    const auto current = static_cast<std::int64_t>(current_ms);
    if (is_word(word, "nx")) {
      holds &= current == 0;
    } else if (is_word(word, "xx")) {
      holds &= current != 0;
    } else if (is_word(word, "gt")) {
      holds &= current != 0 && at_ms > current;
    } else if (is_word(word, "lt")) {
      holds &= current == 0 || at_ms < current;
    } else {
      call.reply.error(fmt::format("ERR Unsupported option {}", word.substr(0, 64)));
      return false;
    }
  }
  return true;
}

void expire_with_unit(Call& call, TimeUnit unit) {
  const auto at_ms = parse_time(call, call[2], unit);
  if (!at_ms) return;
  Item* item = call.keys().find(call[1]);
  bool holds = true;
  if (!condition_holds(call, *at_ms, item == nullptr ? 0 : item->data.expires_at_ms, holds)) return;
  if (item == nullptr || !holds) return call.reply.integer(0);
  if (*at_ms <= static_cast<std::int64_t>(call.keys().now_ms())) {
    call.keys().erase(*item);
  } else {
    call.keys().set_expiry(*item, static_cast<std::uint64_t>(*at_ms));
    call.keys().changed(*item);
  }
  call.reply.integer(1);
}
void expire(Call& call) {
  expire_with_unit(call, TimeUnit::seconds_from_now);
}
void pexpire(Call& call) {
  expire_with_unit(call, TimeUnit::milliseconds_from_now);
}
void expireat(Call& call) {
  expire_with_unit(call, TimeUnit::seconds_of_day);
}
void pexpireat(Call& call) {
  expire_with_unit(call, TimeUnit::milliseconds_of_day);
}

// Milliseconds left; -1: it does not end, -2: there is no such key.
std::int64_t milliseconds_left(Call& call) {
  const Item* item = call.keys().find(call[1]);
  if (item == nullptr) return -2;
  if (item->data.expires_at_ms == 0) return -1;
  return static_cast<std::int64_t>(item->data.expires_at_ms - call.keys().now_ms());
}

void ttl(Call& call) {
  const std::int64_t left = milliseconds_left(call);
  call.reply.integer(left < 0 ? left : (left + 500) / 1000);
}
void pttl(Call& call) {
  call.reply.integer(milliseconds_left(call));
}

void persist(Call& call) {
  Item* item = call.keys().find(call[1]);
  const bool ends = item != nullptr && item->data.expires_at_ms != 0;
  if (ends) {
    call.keys().set_expiry(*item, 0);
    call.keys().changed(*item);
  }
  call.reply.integer(ends ? 1 : 0);
}

constexpr Command kCommands[] = {
    {"expire", expire, -3, kWrites, 1, 1, 1},
    {"pexpire", pexpire, -3, kWrites, 1, 1, 1},
    {"expireat", expireat, -3, kWrites, 1, 1, 1},
    {"pexpireat", pexpireat, -3, kWrites, 1, 1, 1},
    {"ttl", ttl, 2, kNone, 1, 1, 1},
    {"pttl", pttl, 2, kNone, 1, 1, 1},
    {"persist", persist, 2, kWrites, 1, 1, 1},
};

}  // namespace

std::span<const Command> expiry_commands() {
  return kCommands;
}

}  // namespace respkv
