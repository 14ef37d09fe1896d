// SPDX-License-Identifier: Apache-2.0
#include "config/near_names.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace segue::config {
namespace {

constexpr std::size_t kMaxSuggestions = 3;

// Insertions, deletions, replacements and swaps of neighbours between two names (optimal string
// alignment).
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1);
  std::vector<std::size_t> above(b.size() + 1);
  std::iota(above.begin(), above.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::vector<std::size_t> row(b.size() + 1, i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = above[j] + (a[i] == b[j] ? 0 : 1);
      row[j + 1] = std::min({replaced, above[j + 1] + 1, row[j] + 1});
      if (i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j]) {
        row[j + 1] = std::min(row[j + 1], before[j - 1] + 1);
      }
    }
    before = std::exchange(above, std::move(row));
  }
  return above.back();
}

}  // namespace

std::vector<std::string> near_names(std::string_view meant, const std::vector<std::string>& names) {
  std::vector<std::pair<std::size_t, std::string>> near;
  for (const auto& name : names) {
    const std::size_t edits = distance(meant, name);
    if (edits <= std::max<std::size_t>(1, meant.size() / 3)) near.emplace_back(edits, name);
  }
  std::sort(near.begin(), near.end());
  if (near.size() > kMaxSuggestions) near.resize(kMaxSuggestions);
  std::vector<std::string> result;
  result.reserve(near.size());
  for (auto& [edits, name] : near) result.push_back(std::move(name));
  return result;
}

}  // namespace segue::config
