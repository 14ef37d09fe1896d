// SPDX-License-Identifier: Apache-2.0
// Structures of the public header grow at their ends, and say how large their author knew them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace segue::handoff {

// Copies what the caller knows; the rest is 0. `first_size`: that of the structure's first version.
template <typename T>
bool take_sized(const T& given, size_t first_size, T& taken) {
  static_assert(std::is_trivially_copyable_v<T>);
  uint32_t size = 0;
  memcpy(&size, &given, sizeof size);
  if (size < first_size || size > sizeof(T)) return false;
  taken = T{};
  memcpy(static_cast<void*>(&taken), &given, size);
  return true;
}

}  // namespace segue::handoff
