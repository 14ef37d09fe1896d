// SPDX-License-Identifier: Apache-2.0
// Lines of a terminal: what they may hold, and how wide they are. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace segue::cli {

enum class Tone { plain, strong, faint, good, busy, bad };

struct Piece {
  std::string text;
  Tone tone = Tone::plain;

  bool operator==(const Piece&) const = default;
};
using ScreenLine = std::vector<Piece>;

// Without anything that a terminal would obey: control characters are spaces, and what is no UTF-8
// is U+FFFD. What agents and programs say is shown only so.
std::string shown_text(std::string_view text);
// In columns, of text as shown_text() gives it; approximate where terminals disagree.
std::size_t columns_of(std::string_view text);
// Its first `columns`, with `end` (one column) as the last of them if that is not all.
std::string cut_text(std::string_view text, std::size_t columns, std::string_view end);
// At spaces, into `lines` at most, the last of them cut; 0 columns: one line.
std::vector<std::string> wrapped_text(std::string_view text, std::size_t columns, std::size_t lines,
                                      std::string_view end);

std::size_t columns_of(const ScreenLine& line);
// 0 columns: as long as it is.
ScreenLine cut_line(const ScreenLine& line, std::size_t columns, std::string_view end);
std::string plain_text(const ScreenLine& line);
std::string coloured_text(const ScreenLine& line);  // ECMA-48, SGR

}  // namespace segue::cli
