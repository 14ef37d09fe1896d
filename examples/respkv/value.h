// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "compact_map.h"

namespace respkv {

using List = std::deque<std::string>;
using Hash = CompactMap<std::string>;
using Set = CompactMap<Nothing>;

struct SortedSet {
  std::set<std::pair<double, std::string>> by_score;
  std::map<std::string, double, std::less<>> scores;

  [[nodiscard]] bool empty() const { return scores.empty(); }

  // True if the member is new.
  bool put(std::string_view member, double score) {
    const auto found = scores.find(member);
    if (found == scores.end()) {
      scores.emplace(member, score);
      by_score.emplace(score, member);
      return true;
    }
    by_score.erase({found->second, found->first});
    found->second = score;
    by_score.emplace(score, member);
    return false;
  }
  bool erase(std::string_view member) {
    const auto found = scores.find(member);
    if (found == scores.end()) return false;
    by_score.erase({found->second, found->first});
    scores.erase(found);
    return true;
  }
};

// The alternatives stand in the order of ValueType.
enum class ValueType : std::uint8_t { string, list, hash, set, sorted_set };
using Value = std::variant<std::string, std::unique_ptr<List>, std::unique_ptr<Hash>,
                           std::unique_ptr<Set>, std::unique_ptr<SortedSet>>;

inline ValueType type_of(const Value& value) {
  return static_cast<ValueType>(value.index());
}

// As TYPE names it.
constexpr std::string_view type_name(ValueType type) {
  constexpr std::string_view kNames[] = {"string", "list", "hash", "set", "zset"};
  return kNames[static_cast<std::size_t>(type)];
}

}  // namespace respkv
