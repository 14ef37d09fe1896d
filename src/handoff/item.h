// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace segue::handoff {

enum class ItemKind : uint32_t { table = 1, connection_class = 2, arena = 3, heap = 4 };

// Of what only one of the two sides declares.
inline constexpr uint32_t kNotAgreed = UINT32_MAX;

// The name, number and agreed form version of a table, class, arena or heap in a handoff.
struct Item {
  std::string name;
  uint32_t number = kNotAgreed;
  uint32_t wire_version = 0;
  bool retired = false;  // the successor does without it: it is not sent
};

}  // namespace segue::handoff
