// SPDX-License-Identifier: Apache-2.0
// Enumerations and the words that documents use for them.
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>

namespace segue::fleet {

template <class Value, std::size_t Size>
using Words = std::array<std::pair<Value, std::string_view>, Size>;

template <class Value, std::size_t Size>
std::string_view word_of(const Words<Value, Size>& words, Value value) {
  for (const auto& [known, word] : words) {
    if (known == value) return word;
  }
  return "";
}

template <class Value, std::size_t Size>
std::optional<Value> value_of(const Words<Value, Size>& words, std::string_view text) {
  for (const auto& [value, word] : words) {
    if (word == text) return value;
  }
  return std::nullopt;
}

}  // namespace segue::fleet
