// SPDX-License-Identifier: Apache-2.0
#include "load/command_lines.h"

namespace segue::load {

void CommandLines::add(std::string_view bytes) {
  text_.append(bytes);
  if (text_.find('\n') == std::string::npos && text_.size() > kMaxLineBytes) {
    text_.resize(kMaxLineBytes);
  }
}

std::optional<std::vector<std::string>> CommandLines::next() {
  const std::size_t end = text_.find('\n');
  if (end == std::string::npos) return std::nullopt;
  std::vector<std::string> words;
  std::string_view line = std::string_view(text_).substr(0, end);
  while (true) {
    const std::size_t tab = line.find('\t');
    words.emplace_back(line.substr(0, tab));
    if (tab == std::string_view::npos) break;
    line.remove_prefix(tab + 1);
  }
  text_.erase(0, end + 1);
  return words;
}

}  // namespace segue::load
