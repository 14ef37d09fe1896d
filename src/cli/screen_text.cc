// SPDX-License-Identifier: Apache-2.0
#include "cli/screen_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <utility>

namespace segue::cli {
namespace {

constexpr std::uint32_t kReplacement = 0xFFFD;
constexpr std::string_view kReplacementText = "\xEF\xBF\xBD";

struct Character {
  std::uint32_t code = kReplacement;
  std::size_t bytes = 1;
};

// The first of a text that is not empty; RFC 3629.
Character first_of(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t bytes = lead >= 0xF0 && lead < 0xF5   ? 4
                            : lead >= 0xE0 && lead < 0xF0 ? 3
                            : lead >= 0xC2 && lead < 0xE0 ? 2
                                                          : 0;
  if (bytes == 0 || text.size() < bytes) return {};
  std::uint32_t code = lead & (0x7FU >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0U) != 0x80U) return {};
    code = code << 6U | (byte(i) & 0x3FU);
  }
  const std::uint32_t least = bytes == 4 ? 0x10000 : bytes == 3 ? 0x800 : 0x80;
  const bool is_surrogate = code >= 0xD800 && code < 0xE000;
  return code < least || code > 0x10FFFF || is_surrogate ? Character{} : Character{code, bytes};
}

bool is_in(std::uint32_t code, std::uint32_t first, std::uint32_t last) {
  return code >= first && code <= last;
}

// Those that change how others are shown or their direction, and all that is no character.
bool is_obeyed(std::uint32_t code) {
  return code < 0x20 || is_in(code, 0x7F, 0x9F) || code == 0xAD || is_in(code, 0x200B, 0x200F) ||
         is_in(code, 0x2028, 0x202E) || is_in(code, 0x2060, 0x206F) || code == 0xFEFF ||
         is_in(code, 0xFFF9, 0xFFFB) || is_in(code, 0xE0000, 0xE0FFF);
}

std::size_t columns_of_code(std::uint32_t code) {
  if (is_in(code, 0x300, 0x36F) || is_in(code, 0xFE00, 0xFE0F) || is_in(code, 0x20D0, 0x20FF)) {
    return 0;  // on top of the one before
  }
  const bool is_wide =
      is_in(code, 0x1100, 0x115F) || is_in(code, 0x2E80, 0xA4CF) || is_in(code, 0xAC00, 0xD7A3) ||
      is_in(code, 0xF900, 0xFAFF) || is_in(code, 0xFE30, 0xFE6F) || is_in(code, 0xFF00, 0xFF60) ||
      is_in(code, 0xFFE0, 0xFFE6) || is_in(code, 0x1F300, 0x1FAFF) || is_in(code, 0x20000, 0x3FFFD);
  return is_wide ? 2 : 1;
}

// As many bytes as fit.
std::size_t bytes_within(std::string_view text, std::size_t columns) {
  std::size_t at = 0;
  std::size_t used = 0;
  while (at < text.size()) {
    const Character next = first_of(text.substr(at));
    used += columns_of_code(next.code);
    if (used > columns) break;
    at += next.bytes;
  }
  return at;
}

}  // namespace

std::string shown_text(std::string_view text) {
  std::string shown;
  while (!text.empty()) {
    const Character next = first_of(text);
    if (is_obeyed(next.code)) {
      shown += ' ';
    } else if (next.code == kReplacement) {
      shown += kReplacementText;
    } else {
      shown += text.substr(0, next.bytes);
    }
    text.remove_prefix(next.bytes);
  }
  return shown;
}

std::size_t columns_of(std::string_view text) {
  std::size_t columns = 0;
  while (!text.empty()) {
    const Character next = first_of(text);
    columns += columns_of_code(next.code);
    text.remove_prefix(next.bytes);
  }
  return columns;
}

std::string cut_text(std::string_view text, std::size_t columns, std::string_view end) {
  if (columns_of(text) <= columns) return std::string(text);
  if (columns == 0) return "";
  return std::string(text.substr(0, bytes_within(text, columns - 1))) + std::string(end);
}

std::vector<std::string> wrapped_text(std::string_view text, std::size_t columns, std::size_t lines,
                                      std::string_view end) {
  std::vector<std::string> wrapped;
  while (columns > 0 && wrapped.size() + 1 < lines && columns_of(text) > columns) {
    const std::size_t most = bytes_within(text, columns);
    const std::size_t space = text.substr(0, most + 1).rfind(' ');
    const std::size_t at = space == std::string_view::npos || space == 0 ? most : space;
    if (at == 0) break;  // not one character fits
    wrapped.emplace_back(text.substr(0, at));
    text.remove_prefix(at);
    while (text.starts_with(' ')) text.remove_prefix(1);
  }
  if (lines > 0) {
    wrapped.push_back(columns == 0 ? std::string(text) : cut_text(text, columns, end));
  }
  return wrapped;
}

std::size_t columns_of(const ScreenLine& line) {
  std::size_t columns = 0;
  for (const Piece& piece : line) columns += columns_of(piece.text);
  return columns;
}

ScreenLine cut_line(const ScreenLine& line, std::size_t columns, std::string_view end) {
  if (columns == 0 || columns_of(line) <= columns) return line;
  ScreenLine cut;
  std::size_t left = columns;
  for (const Piece& piece : line) {
    const std::size_t its = columns_of(piece.text);
    // Of a piece that ends where the line does only its end is missing.
    if (its >= left) {
      cut.push_back({cut_text(piece.text + " ", left, end), piece.tone});
      break;
    }
    cut.push_back(piece);
    left -= its;
  }
  return cut;
}

std::string plain_text(const ScreenLine& line) {
  std::string text;
  for (const Piece& piece : line) text += piece.text;
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

std::string coloured_text(const ScreenLine& line) {
  constexpr const char* kCodes[] = {"", "1", "2", "32", "33", "31;1"};
  std::string text;
  for (const Piece& piece : line) {
    const std::string code = kCodes[static_cast<std::size_t>(piece.tone)];
    text += code.empty() ? piece.text : fmt::format("\x1b[{}m{}\x1b[0m", code, piece.text);
  }
  return text;
}

}  // namespace segue::cli
