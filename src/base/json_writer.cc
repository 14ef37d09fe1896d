// SPDX-License-Identifier: Apache-2.0
#include "base/json_writer.h"

#include <fmt/format.h>

#include <cmath>
#include <cstddef>
#include <iterator>
#include <utility>

#include "base/assert.h"
#include "base/utf8.h"

namespace segue::base {
namespace {

void append_ascii(std::string& out, char c) {
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\b':
      out += "\\b";
      return;
    case '\f':
      out += "\\f";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      break;
  }
  const auto code = static_cast<unsigned char>(c);
  if (code < 0x20 || code == 0x7F) {
    fmt::format_to(std::back_inserter(out), "\\u{:04x}", code);
  } else {
    out += c;
  }
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 0) {
      out += "\xEF\xBF\xBD";  // U+FFFD
    } else if (length == 1) {
      append_ascii(out, text.front());
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  out += '"';
}

JsonWriter& JsonWriter::begin_object() {
  return begin(true);
}

JsonWriter& JsonWriter::begin_array() {
  return begin(false);
}

JsonWriter& JsonWriter::begin(bool is_object) {
  before_value();
  levels_.push_back({.is_object = is_object});
  text_ += is_object ? '{' : '[';
  return *this;
}

JsonWriter& JsonWriter::end() {
  SEGUE_ASSERT(!levels_.empty() && !key_written_);
  text_ += levels_.back().is_object ? '}' : ']';
  levels_.pop_back();
  return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
  SEGUE_ASSERT(!levels_.empty() && levels_.back().is_object && !key_written_);
  if (!std::exchange(levels_.back().is_empty, false)) text_ += ',';
  append_json_string(text_, name);
  text_ += ':';
  key_written_ = true;
  return *this;
}

JsonWriter& JsonWriter::value(std::string_view text) {
  before_value();
  append_json_string(text_, text);
  return *this;
}

JsonWriter& JsonWriter::value(bool truth) {
  before_value();
  text_ += truth ? "true" : "false";
  return *this;
}

JsonWriter& JsonWriter::value(double number) {
  if (!std::isfinite(number)) return null();
  before_value();
  fmt::format_to(std::back_inserter(text_), "{}", number);
  return *this;
}

JsonWriter& JsonWriter::integer(std::int64_t number) {
  before_value();
  fmt::format_to(std::back_inserter(text_), "{}", number);
  return *this;
}

JsonWriter& JsonWriter::integer(std::uint64_t number) {
  before_value();
  fmt::format_to(std::back_inserter(text_), "{}", number);
  return *this;
}

JsonWriter& JsonWriter::null() {
  before_value();
  text_ += "null";
  return *this;
}

std::string JsonWriter::take() && {
  SEGUE_ASSERT(levels_.empty() && !text_.empty());
  return std::move(text_);
}

void JsonWriter::before_value() {
  if (levels_.empty()) {
    SEGUE_ASSERT(text_.empty());  // one value only
  } else if (levels_.back().is_object) {
    SEGUE_ASSERT(std::exchange(key_written_, false));
  } else if (!std::exchange(levels_.back().is_empty, false)) {
    text_ += ',';
  }
}

}  // namespace segue::base
