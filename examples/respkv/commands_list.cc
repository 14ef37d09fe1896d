// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <optional>

#include "command.h"
#include "number.h"

namespace respkv {
namespace {

void push(Call& call, bool left, bool only_present) {
  const auto found = only_present ? find<List>(call, call[1]) : find_or_create<List>(call, call[1]);
  if (found.wrong_type) return;
  if (!found) return call.reply.integer(0);
  for (const std::string_view element : call.arguments.subspan(2)) {
    left ? found.value->emplace_front(element) : found.value->emplace_back(element);
  }
  call.reply.integer(static_cast<std::int64_t>(found.value->size()));
  call.keys().changed(*found.item);
}
void lpush(Call& call) {
  push(call, true, false);
}
void rpush(Call& call) {
  push(call, false, false);
}
void lpushx(Call& call) {
  push(call, true, true);
}
void rpushx(Call& call) {
  push(call, false, true);
}

std::string take(List& list, bool left) {
  std::string element = std::move(left ? list.front() : list.back());
  left ? list.pop_front() : list.pop_back();
  return element;
}

void pop(Call& call, bool left) {
  if (call.size() > 3) return call.wrong_arity();
  std::optional<std::int64_t> count;
  if (call.size() == 3) {
    count = parse_integer(call[2]);
    if (!count || *count < 0) {
      return call.reply.error("ERR value is out of range, must be positive");
    }
  }
  const auto found = find<List>(call, call[1]);
  if (found.wrong_type) return;
  if (!found) return count ? call.reply.null_array() : call.reply.null();
  if (!count) {
    call.reply.bulk(left ? found.value->front() : found.value->back());
    left ? found.value->pop_front() : found.value->pop_back();
    return changed_or_gone(call, found);
  }
  const std::size_t taken = std::min(static_cast<std::size_t>(*count), found.value->size());
  call.reply.array(taken);
  for (std::size_t i = 0; i < taken; ++i) call.reply.bulk(take(*found.value, left));
  if (taken > 0) changed_or_gone(call, found);
}
void lpop(Call& call) {
  pop(call, true);
}
void rpop(Call& call) {
  pop(call, false);
}

void llen(Call& call) {
  const auto found = read<List>(call, call[1]);
  if (!found.wrong_type) {
    call.reply.integer(found ? static_cast<std::int64_t>(found.value->size()) : 0);
  }
}

void lrange(Call& call) {
  auto start = parse_integer(call[2]);
  auto stop = parse_integer(call[3]);
  if (!start || !stop) return call.reply.not_an_integer();
  const auto found = read<List>(call, call[1]);
  if (found.wrong_type) return;
  if (!found || !clamp_range(static_cast<std::int64_t>(found.value->size()), *start, *stop)) {
    return call.reply.array(0);
  }
  call.reply.array(static_cast<std::size_t>(*stop - *start + 1));
  const auto last = found.value->begin() + *stop + 1;
  for (auto at = found.value->begin() + *start; at != last; ++at) call.reply.bulk(*at);
}

// The element of that rank (negative: from the end), or nullptr.
std::string* element_at(List& list, std::int64_t rank) {
  const auto size = static_cast<std::int64_t>(list.size());
  if (rank < 0) rank += size;
  return rank < 0 || rank >= size ? nullptr : &list[static_cast<std::size_t>(rank)];
}

void lindex(Call& call) {
  const auto found = read<List>(call, call[1]);
  if (found.wrong_type) return;
  if (!found) return call.reply.null();
  const auto rank = parse_integer(call[2]);
  if (!rank) return call.reply.not_an_integer();
  const std::string* element = element_at(*found.value, *rank);
  element == nullptr ? call.reply.null() : call.reply.bulk(*element);
}

void lset(Call& call) {
  const auto found = find<List>(call, call[1]);
  if (found.wrong_type) return;
  if (!found) return call.reply.error("ERR no such key");
  const auto rank = parse_integer(call[2]);
  if (!rank) return call.reply.not_an_integer();
  std::string* element = element_at(*found.value, *rank);
  if (element == nullptr) return call.reply.error("ERR index out of range");
  element->assign(call[3]);
  call.keys().changed(*found.item);
  call.reply.ok();
}

void lrem(Call& call) {
  const auto count = parse_integer(call[2]);
  if (!count) return call.reply.not_an_integer();
  const auto found = find<List>(call, call[1]);
  if (found.wrong_type) return;
  if (!found) return call.reply.integer(0);
  List& list = *found.value;
  const std::size_t before = list.size();
  std::uint64_t left = *count == 0  ? UINT64_MAX
                       : *count < 0 ? 0 - static_cast<std::uint64_t>(*count)
                                    : static_cast<std::uint64_t>(*count);
  const auto unwanted = [&](const std::string& element) {
    if (left == 0 || element != call[3]) return false;
    --left;
    return true;
  };
  if (*count < 0) {
    const auto kept = std::remove_if(list.rbegin(), list.rend(), unwanted);
    list.erase(list.begin(), kept.base());
  } else {
    list.erase(std::remove_if(list.begin(), list.end(), unwanted), list.end());
  }
  call.reply.integer(static_cast<std::int64_t>(before - list.size()));
  if (list.size() != before) changed_or_gone(call, found);
}

void ltrim(Call& call) {
  auto start = parse_integer(call[2]);
  auto stop = parse_integer(call[3]);
  if (!start || !stop) return call.reply.not_an_integer();
  const auto found = find<List>(call, call[1]);
  if (found.wrong_type) return;
  if (found) {
    List& list = *found.value;
    if (clamp_range(static_cast<std::int64_t>(list.size()), *start, *stop)) {
      list.erase(list.begin() + *stop + 1, list.end());
      list.erase(list.begin(), list.begin() + *start);
    } else {
      list.clear();
    }
    changed_or_gone(call, found);
  }
  call.reply.ok();
}

void move_element(Call& call, bool from_left, bool to_left) {
  const auto source = find<List>(call, call[1]);
  if (source.wrong_type) return;
  if (!source) return call.reply.null();
  if (find<List>(call, call[2]).wrong_type) return;
  const std::string element = take(*source.value, from_left);
  if (call[1] == call[2]) {
    to_left ? source.value->push_front(element) : source.value->push_back(element);
    call.keys().changed(*source.item);
  } else {
    changed_or_gone(call, source);
    const auto target = find_or_create<List>(call, call[2]);
    to_left ? target.value->push_front(element) : target.value->push_back(element);
    call.keys().changed(*target.item);
  }
  call.reply.bulk(element);
}

void rpoplpush(Call& call) {
  move_element(call, false, true);
}

void lmove(Call& call) {
  const bool known = (is_word(call[3], "left") || is_word(call[3], "right")) &&
                     (is_word(call[4], "left") || is_word(call[4], "right"));
  if (!known) return call.reply.syntax_error();
  move_element(call, is_word(call[3], "left"), is_word(call[4], "left"));
}

void blocking_pop(Call& call, bool left) {
  constexpr long double kLongestSeconds = 1e9L;
  const auto timeout = parse_float(call[call.size() - 1]);
  if (!timeout || *timeout > kLongestSeconds) {
    return call.reply.error("ERR timeout is not a float or out of range");
  }
  if (*timeout < 0) return call.reply.error("ERR timeout is negative");
  const auto awaited = call.arguments.subspan(1, call.size() - 2);
  for (const std::string_view key : awaited) {
    const auto found = find<List>(call, key);
    if (found.wrong_type) return;
    if (!found) continue;
    call.reply.array(2);
    call.reply.bulk(key);
    call.reply.bulk(take(*found.value, left));
    return changed_or_gone(call, found);
  }
  if (call.session.executing) return call.reply.null_array();
  const auto wait_ms = static_cast<std::uint64_t>(std::ceil(*timeout * 1000));
  call.engine.block(call.session, {awaited.begin(), awaited.end()}, left,
                    wait_ms == 0 ? 0 : call.keys().now_ms() + wait_ms);
}
void blpop(Call& call) {
  blocking_pop(call, true);
}
void brpop(Call& call) {
  blocking_pop(call, false);
}

constexpr Command kCommands[] = {
    {"lpush", lpush, -3, kWrites, 1, 1, 1},   {"rpush", rpush, -3, kWrites, 1, 1, 1},
    {"lpushx", lpushx, -3, kWrites, 1, 1, 1}, {"rpushx", rpushx, -3, kWrites, 1, 1, 1},
    {"lpop", lpop, -2, kWrites, 1, 1, 1},     {"rpop", rpop, -2, kWrites, 1, 1, 1},
    {"llen", llen, 2, kNone, 1, 1, 1},        {"lrange", lrange, 4, kNone, 1, 1, 1},
    {"lindex", lindex, 3, kNone, 1, 1, 1},    {"lset", lset, 4, kWrites, 1, 1, 1},
    {"lrem", lrem, 4, kWrites, 1, 1, 1},      {"ltrim", ltrim, 4, kWrites, 1, 1, 1},
    {"lmove", lmove, 5, kWrites, 1, 2, 1},    {"rpoplpush", rpoplpush, 3, kWrites, 1, 2, 1},
    {"blpop", blpop, -3, kWrites, 1, -2, 1},  {"brpop", brpop, -3, kWrites, 1, -2, 1},
};

}  // namespace

std::span<const Command> list_commands() {
  return kCommands;
}

}  // namespace respkv
