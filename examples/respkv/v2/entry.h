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

// Version 2 also counts the changes of a key and knows the time of the last one.
class Entry {
 public:
  static constexpr std::uint32_t kFormVersion = 2;

 private:
  struct History {
    std::uint64_t created_at_ms = 0;
    std::uint64_t modified_at_ms = 0;
    std::uint64_t changes = 0;
  };
  History history_;

 public:
  std::unique_ptr<std::string> unknown_fields;
  std::uint64_t modification = 0;   // unique in the keyspace; another after each change
  std::uint64_t expires_at_ms = 0;  // 0: never
  Value value;

  void note_created(std::uint64_t now_ms) { history_.created_at_ms = now_ms; }
  void note_changed(std::uint64_t now_ms) {
    history_.modified_at_ms = now_ms;
    history_.changes = std::min(history_.changes + 1, entry_tag::kMaxChanges);
  }
  [[nodiscard]] std::optional<std::uint64_t> changes() const { return history_.changes; }
  [[nodiscard]] static std::optional<std::uint64_t> longest_rest_ms() { return std::nullopt; }
  [[nodiscard]] std::uint64_t idle_since_ms() const {
    return history_.modified_at_ms != 0 ? history_.modified_at_ms : history_.created_at_ms;
  }

  // visit(tag, number) for each number of the record, for reading and for writing.
  template <class Self, class Visit>
  static void visit_numbers(Self& self, Visit visit) {
    visit(entry_tag::kExpiresAt, self.expires_at_ms);
    visit(entry_tag::kModification, self.modification);
    visit(entry_tag::kCreatedAt, self.history_.created_at_ms);
    visit(entry_tag::kModifiedAt, self.history_.modified_at_ms);
    visit(entry_tag::kChanges, self.history_.changes);
  }
};

}  // namespace respkv
