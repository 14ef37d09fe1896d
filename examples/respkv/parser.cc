// SPDX-License-Identifier: Apache-2.0
#include "parser.h"

#include <fmt/format.h>

#include <iterator>
#include <optional>
#include <utility>

#include "number.h"

namespace respkv {
namespace {

constexpr std::string_view kLineEnd = "\r\n";

bool is_space(char letter) {
  return letter == ' ' || letter == '\t' || letter == '\r' || letter == '\n' || letter == '\v' ||
         letter == '\f';
}

int hex_digit(char letter) {
  if (letter >= '0' && letter <= '9') return letter - '0';
  if (letter >= 'a' && letter <= 'f') return letter - 'a' + 10;
  if (letter >= 'A' && letter <= 'F') return letter - 'A' + 10;
  return -1;
}

// `at` is behind a backslash in double quotes.
char unescape(std::string_view line, std::size_t& at) {
  const char letter = line[at++];
  if (letter == 'x' && at + 1 < line.size()) {
    const int high = hex_digit(line[at]);
    const int low = hex_digit(line[at + 1]);
    if (high >= 0 && low >= 0) {
      at += 2;
      return static_cast<char>(high * 16 + low);
    }
  }
  constexpr std::string_view kEscapes = "nrtba";
  constexpr std::string_view kMeanings = "\n\r\t\b\a";
  const std::size_t which = kEscapes.find(letter);
  return which == std::string_view::npos ? letter : kMeanings[which];
}

// `at` is behind the opening quote. False if the closing one is missing, or is not followed by
// space.
bool read_quoted(std::string_view line, std::size_t& at, char quote, std::string& out) {
  while (at < line.size()) {
    const char letter = line[at++];
    if (letter == quote) return at == line.size() || is_space(line[at]);
    if (letter == '\\' && at < line.size() && quote == '"') {
      out += unescape(line, at);
    } else if (letter == '\\' && at < line.size() && line[at] == '\'') {
      out += line[at++];
    } else {
      out += letter;
    }
  }
  return false;
}

// Words, "words in double quotes with \x41 and \n", and 'words in single quotes'.
bool split_line(std::string_view line, std::vector<std::string>& out) {
  out.clear();
  for (std::size_t at = 0;;) {
    while (at < line.size() && is_space(line[at])) ++at;
    if (at == line.size()) return true;
    std::string& word = out.emplace_back();
    while (at < line.size() && !is_space(line[at])) {
      const char letter = line[at++];
      if (letter != '"' && letter != '\'') {
        word += letter;
      } else if (!read_quoted(line, at, letter, word)) {
        return false;
      } else {
        break;
      }
    }
  }
}

// The header's number, without the type letter in front of it.
std::optional<std::int64_t> read_number(std::string_view digits) {
  if (digits.size() == 1 && digits[0] >= '0' && digits[0] <= '9') return digits[0] - '0';
  return parse_integer(digits);
}

}  // namespace

RequestParser::Status RequestParser::parse(std::string_view input) {
  wanted_ = 0;
  if (input.empty()) return Status::incomplete;
  if (input.front() != '*') return parse_inline(input);
  if (arguments_left_ == kHeader) {
    const Status status = parse_array_header(input);
    if (status != Status::complete) return status;
  }
  return parse_bulks(input);
}

RequestParser::Status RequestParser::parse_array_header(std::string_view input) {
  const std::size_t end = input.find(kLineEnd);
  if (end == std::string_view::npos) {
    return input.size() > kMaxInlineBytes ? malformed("too big mbulk count string")
                                          : Status::incomplete;
  }
  const auto count = read_number(input.substr(1, end - 1));
  if (!count || *count > kMaxArguments) return malformed("invalid multibulk length");
  arguments_left_ = *count > 0 ? *count : 0;
  position_ = end + kLineEnd.size();
  return Status::complete;
}

RequestParser::Status RequestParser::parse_bulks(std::string_view input) {
  while (arguments_left_ > 0) {
    if (bulk_size_ == kHeader) {
      const Status status = parse_bulk_header(input);
      if (status != Status::complete) return status;
    }
    const auto size = static_cast<std::size_t>(bulk_size_);
    if (input.size() < position_ + size + kLineEnd.size()) {
      wanted_ = position_ + size + kLineEnd.size();
      return Status::incomplete;
    }
    ranges_.push_back({position_, size});
    position_ += size + kLineEnd.size();
    bulk_size_ = kHeader;
    --arguments_left_;
  }
  return Status::complete;
}

RequestParser::Status RequestParser::parse_bulk_header(std::string_view input) {
  const std::string_view rest = input.substr(position_);
  if (!rest.empty() && rest.front() != '$') {
    return malformed(fmt::format("expected '$', got '{}'", rest.front()));
  }
  const std::size_t end = rest.find(kLineEnd);
  if (end == std::string_view::npos) {
    return rest.size() > kMaxInlineBytes ? malformed("too big bulk count string")
                                         : Status::incomplete;
  }
  const auto size = read_number(rest.substr(1, end - 1));
  if (!size || *size < 0 || *size > static_cast<std::int64_t>(kMaxBulkBytes)) {
    return malformed("invalid bulk length");
  }
  bulk_size_ = *size;
  position_ += end + kLineEnd.size();
  return Status::complete;
}

RequestParser::Status RequestParser::parse_inline(std::string_view input) {
  const std::size_t end = input.find('\n', position_);
  if (end == std::string_view::npos) {
    position_ = input.size();
    return input.size() > kMaxInlineBytes ? malformed("too big inline request")
                                          : Status::incomplete;
  }
  if (!split_line(input.substr(0, end), inline_arguments_)) {
    return malformed("unbalanced quotes in request");
  }
  position_ = end + 1;
  return Status::complete;
}

RequestParser::Status RequestParser::malformed(std::string_view what) {
  error_ = fmt::format("ERR Protocol error: {}", what);
  return Status::malformed;
}

void RequestParser::arguments(std::string_view input, std::vector<std::string_view>& out) const {
  out.clear();
  for (const Range& range : ranges_) out.push_back(input.substr(range.offset, range.size));
  for (const std::string& argument : inline_arguments_) out.emplace_back(argument);
}

void RequestParser::reset() {
  position_ = 0;
  wanted_ = 0;
  arguments_left_ = kHeader;
  bulk_size_ = kHeader;
  inline_arguments_.clear();
  ranges_.clear();
  if (ranges_.capacity() > kKeptRanges) ranges_.shrink_to_fit();
}

void append_request(std::string& out, const std::vector<std::string>& arguments) {
  fmt::format_to(std::back_inserter(out), "*{}\r\n", arguments.size());
  for (const std::string& argument : arguments) {
    fmt::format_to(std::back_inserter(out), "${}\r\n", argument.size());
    out.append(argument).append(kLineEnd);
  }
}

}  // namespace respkv
