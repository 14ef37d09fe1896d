// SPDX-License-Identifier: Apache-2.0
#include "glob.h"

#include <cstddef>
#include <utility>

namespace respkv {
namespace {

// `at` is behind the '['; returns whether `letter` is in the class, and moves `at` behind it.
bool class_matches(std::string_view pattern, std::size_t& at, char letter) {
  const bool negated = at < pattern.size() && pattern[at] == '^';
  if (negated) ++at;
  bool found = false;
  for (; at < pattern.size() && pattern[at] != ']'; ++at) {
    if (pattern[at] == '\\' && at + 1 < pattern.size()) {
      ++at;
      found |= pattern[at] == letter;
    } else if (at + 2 < pattern.size() && pattern[at + 1] == '-') {
      char low = pattern[at];
      char high = pattern[at + 2];
      if (low > high) std::swap(low, high);
      found |= low <= letter && letter <= high;
      at += 2;
    } else {
      found |= pattern[at] == letter;
    }
  }
  if (at < pattern.size()) ++at;
  return found != negated;
}

// Matches one letter against the element at `at`, which is not '*', and moves behind the element.
bool element_matches(std::string_view pattern, std::size_t& at, char letter) {
  const char element = pattern[at++];
  switch (element) {
    case '?':
      return true;
    case '[':
      return class_matches(pattern, at, letter);
    case '\\':
      return at < pattern.size() ? pattern[at++] == letter : letter == '\\';
    default:
      return element == letter;
  }
}

}  // namespace

bool glob_matches(std::string_view pattern, std::string_view text) {
  std::size_t at = 0;
  std::size_t position = 0;
  std::size_t after_star = std::string_view::npos;  // where to go on when what follows does not fit
  std::size_t star_position = 0;
  while (position < text.size()) {
    if (at < pattern.size() && pattern[at] == '*') {
      after_star = ++at;
      star_position = position;
    } else if (at < pattern.size() && element_matches(pattern, at, text[position])) {
      ++position;
    } else if (after_star != std::string_view::npos) {
      at = after_star;
      position = ++star_position;
    } else {
      return false;
    }
  }
  while (at < pattern.size() && pattern[at] == '*') ++at;
  return at == pattern.size();
}

}  // namespace respkv
