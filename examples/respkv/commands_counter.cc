// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "command.h"
#include "number.h"

namespace respkv {
namespace {

void add(Call& call, std::int64_t amount) {
  const auto found = find<std::string>(call, call[1]);
  if (found.wrong_type) return;
  std::int64_t sum = 0;
  if (found) {
    const auto number = parse_integer(*found.value);
    if (!number) return call.reply.not_an_integer();
    sum = *number;
  }
  if (__builtin_add_overflow(sum, amount, &sum)) {
    return call.reply.error("ERR increment or decrement would overflow");
  }
  const auto target = find_or_create<std::string>(call, call[1]);
  std::array<char, 24> digits{};
  const char* end = std::to_chars(digits.data(), digits.data() + digits.size(), sum).ptr;
  target.value->assign(digits.data(), static_cast<std::size_t>(end - digits.data()));
  call.keys().changed(*target.item);
  call.reply.integer(sum);
}

void incr(Call& call) {
  add(call, 1);
}
void decr(Call& call) {
  add(call, -1);
}

void incrby(Call& call) {
  const auto amount = parse_integer(call[2]);
  amount ? add(call, *amount) : call.reply.not_an_integer();
}

void decrby(Call& call) {
  const auto amount = parse_integer(call[2]);
  if (!amount) return call.reply.not_an_integer();
  if (*amount == std::numeric_limits<std::int64_t>::min()) {
    return call.reply.error("ERR decrement would overflow");
  }
  add(call, -*amount);
}

void incrbyfloat(Call& call) {
  const auto found = find<std::string>(call, call[1]);
  if (found.wrong_type) return;
  const auto number = found ? parse_float(*found.value) : 0.0L;
  const auto amount = parse_float(call[2]);
  if (!number || !amount) return call.reply.not_a_float();
  const long double sum = *number + *amount;
  if (!std::isfinite(sum)) {
    return call.reply.error("ERR increment would produce NaN or Infinity");
  }
  const auto target = find_or_create<std::string>(call, call[1]);
  *target.value = format_long_double(sum);
  call.keys().changed(*target.item);
  call.reply.bulk(*target.value);
}

constexpr Command kCommands[] = {
    {"incr", incr, 2, kWrites, 1, 1, 1},
    {"decr", decr, 2, kWrites, 1, 1, 1},
    {"incrby", incrby, 3, kWrites, 1, 1, 1},
    {"decrby", decrby, 3, kWrites, 1, 1, 1},
    {"incrbyfloat", incrbyfloat, 3, kWrites, 1, 1, 1},
};

}  // namespace

std::span<const Command> counter_commands() {
  return kCommands;
}

}  // namespace respkv
