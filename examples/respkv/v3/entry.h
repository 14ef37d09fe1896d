// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "entry_tags.h"
#include "value.h"

namespace respkv {

// Version 3 no longer knows when a key came to be, keeps the time of the last change and the
// number of changes in one word, and adds for how long the key has rested at most.
class Entry {
 public:
  static constexpr std::uint32_t kFormVersion = 3;

  std::uint64_t modification = 0;  // unique in the keyspace; another after each change
  Value value;
  std::unique_ptr<std::string> unknown_fields;
  std::uint64_t expires_at_ms = 0;  // 0: never

  void note_created(std::uint64_t /*now_ms*/) {}
  void note_changed(std::uint64_t now_ms) {
    const std::uint64_t count =
        std::min((activity_ & entry_tag::kMaxChanges) + 1, entry_tag::kMaxChanges);
    if (activity_ != 0 && now_ms > idle_since_ms()) {
      longest_rest_ms_ = std::max(longest_rest_ms_, now_ms - idle_since_ms());
    }
    activity_ = (now_ms << entry_tag::kChangesBits) | count;
  }
  [[nodiscard]] std::optional<std::uint64_t> changes() const {
    return activity_ & entry_tag::kMaxChanges;
  }
  [[nodiscard]] std::optional<std::uint64_t> longest_rest_ms() const { return longest_rest_ms_; }
  [[nodiscard]] std::uint64_t idle_since_ms() const { return activity_ >> entry_tag::kChangesBits; }

  // visit(tag, number) for each number of the record, for reading and for writing.
  template <class Self, class Visit>
  static void visit_numbers(Self& self, Visit visit) {
    visit(entry_tag::kExpiresAt, self.expires_at_ms);
    visit(entry_tag::kModification, self.modification);
    visit(entry_tag::kActivity, self.activity_);
    visit(entry_tag::kLongestRest, self.longest_rest_ms_);
  }

 private:
  std::uint64_t activity_ = 0;
  std::uint64_t longest_rest_ms_ = 0;
};

}  // namespace respkv
