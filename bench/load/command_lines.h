// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace segue::load {

// Cuts what comes in pieces into lines, and lines into words at tabs.
class CommandLines {
 public:
  // A line beyond this is cut off there.
  static constexpr std::size_t kMaxLineBytes = 4'096;

  void add(std::string_view bytes);
  // The words of the next whole line, if there is one.
  std::optional<std::vector<std::string>> next();

 private:
  std::string text_;
};

}  // namespace segue::load
