// SPDX-License-Identifier: Apache-2.0
#include <iterator>

#include "command.h"
#include "number.h"

namespace respkv {
namespace {

void zadd(Call& call) {
  if (call.size() % 2 != 0) return call.reply.syntax_error();
  std::vector<double> scores;
  for (std::size_t i = 2; i < call.size(); i += 2) {
    const auto score = parse_float(call[i]);
    if (!score) return call.reply.not_a_float();
    scores.push_back(static_cast<double>(*score));
  }
  const auto found = find_or_create<SortedSet>(call, call[1]);
  if (!found) return;
  std::int64_t added = 0;
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (found.value->put(call[i * 2 + 3], scores[i])) ++added;
  }
  call.keys().changed(*found.item);
  call.reply.integer(added);
}

void zrem(Call& call) {
  const auto found = find<SortedSet>(call, call[1]);
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

void zcard(Call& call) {
  const auto found = read<SortedSet>(call, call[1]);
  if (!found.wrong_type) {
    call.reply.integer(found ? static_cast<std::int64_t>(found.value->scores.size()) : 0);
  }
}

void zscore(Call& call) {
  const auto found = read<SortedSet>(call, call[1]);
  if (found.wrong_type) return;
  if (found) {
    const auto member = found.value->scores.find(call[2]);
    if (member != found.value->scores.end()) return call.reply.real(member->second);
  }
  call.reply.null();
}

// By rank only.
void zrange(Call& call) {
  const bool with_scores = call.size() == 5 && is_word(call[4], "withscores");
  if (call.size() > 4 && !with_scores) return call.reply.syntax_error();
  auto start = parse_integer(call[2]);
  auto stop = parse_integer(call[3]);
  if (!start || !stop) return call.reply.not_an_integer();
  const auto found = read<SortedSet>(call, call[1]);
  if (found.wrong_type) return;
  if (!found ||
      !clamp_range(static_cast<std::int64_t>(found.value->scores.size()), *start, *stop)) {
    return call.reply.array(0);
  }
  const bool nested = with_scores && call.reply.protocol() >= 3;
  const auto count = static_cast<std::size_t>(*stop - *start + 1);
  call.reply.array(with_scores && !nested ? count * 2 : count);
  auto at = std::next(found.value->by_score.begin(), *start);
  for (std::size_t i = 0; i < count; ++i, ++at) {
    if (nested) call.reply.array(2);
    call.reply.bulk(at->second);
    if (with_scores) call.reply.real(at->first);
  }
}

void zpopmin(Call& call) {
  if (call.size() > 3) return call.wrong_arity();
  const auto count = call.size() == 3 ? parse_integer(call[2]) : 1;
  if (!count || *count < 0) {
    return call.reply.error("ERR value is out of range, must be positive");
  }
  const auto found = find<SortedSet>(call, call[1]);
  if (found.wrong_type) return;
  if (!found) return call.reply.array(0);
  const std::size_t taken = std::min(static_cast<std::size_t>(*count), found.value->scores.size());
  const bool nested = call.size() == 3 && call.reply.protocol() >= 3;
  call.reply.array(nested ? taken : taken * 2);
  for (std::size_t i = 0; i < taken; ++i) {
    const auto [score, member] = *found.value->by_score.begin();
    if (nested) call.reply.array(2);
    call.reply.bulk(member);
    call.reply.real(score);
    found.value->erase(member);
  }
  if (taken > 0) changed_or_gone(call, found);
}

constexpr Command kCommands[] = {
    {"zadd", zadd, -4, kWrites, 1, 1, 1},   {"zrem", zrem, -3, kWrites, 1, 1, 1},
    {"zcard", zcard, 2, kNone, 1, 1, 1},    {"zscore", zscore, 3, kNone, 1, 1, 1},
    {"zrange", zrange, -4, kNone, 1, 1, 1}, {"zpopmin", zpopmin, -2, kWrites, 1, 1, 1},
};

}  // namespace

std::span<const Command> sorted_set_commands() {
  return kCommands;
}

}  // namespace respkv
