// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "entry_tags.h"
#include "value.h"

namespace respkv {

// Version 1: what a key holds, when it ends, and when it came to be.
class Entry {
 public:
  static constexpr std::uint32_t kFormVersion = 1;

  Value value;
  std::uint64_t expires_at_ms = 0;  // 0: never
  std::uint64_t modification = 0;   // unique in the keyspace; another after each change
  std::unique_ptr<std::string> unknown_fields;

  void note_created(std::uint64_t now_ms) { created_at_ms_ = now_ms; }
  void note_changed(std::uint64_t /*now_ms*/) {}
  [[nodiscard]] std::optional<std::uint64_t> changes() const { return std::nullopt; }
  [[nodiscard]] static std::optional<std::uint64_t> longest_rest_ms() { return std::nullopt; }
  [[nodiscard]] std::uint64_t idle_since_ms() const { return created_at_ms_; }

  // visit(tag, number) for each number of the record, for reading and for writing.
  template <class Self, class Visit>
  static void visit_numbers(Self& self, Visit visit) {
    visit(entry_tag::kExpiresAt, self.expires_at_ms);
    visit(entry_tag::kModification, self.modification);
    visit(entry_tag::kCreatedAt, self.created_at_ms_);
  }

 private:
  std::uint64_t created_at_ms_ = 0;
};

}  // namespace respkv
