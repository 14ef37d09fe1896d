// SPDX-License-Identifier: Apache-2.0
#include "reply.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "number.h"

namespace respkv {

void Reply::number_line(char type, std::int64_t number) {
  std::array<char, 24> text{};
  text[0] = type;
  char* end = std::to_chars(text.data() + 1, text.data() + text.size() - 2, number).ptr;
  *end++ = '\r';
  *end++ = '\n';
  out_->append(text.data(), end);
}

void Reply::header(char type, std::size_t count) {
  number_line(type, static_cast<std::int64_t>(count));
}

void Reply::simple(std::string_view text) {
  *out_ += '+';
  out_->append(text).append("\r\n");
}

void Reply::error(std::string_view text) {
  *out_ += '-';
  const std::size_t start = out_->size();
  out_->append(text);
  std::replace_if(
      out_->begin() + static_cast<std::ptrdiff_t>(start), out_->end(),
      [](char letter) { return letter == '\r' || letter == '\n'; }, ' ');
  out_->append("\r\n");
}

void Reply::integer(std::int64_t number) {
  number_line(':', number);
}

void Reply::bulk(std::string_view bytes) {
  header('$', bytes.size());
  out_->append(bytes).append("\r\n");
}

void Reply::real(double number) {
  if (protocol_ < 3) return bulk(format_double(number));
  *out_ += ',';
  out_->append(format_double(number)).append("\r\n");
}

void Reply::null() {
  out_->append(protocol_ < 3 ? "$-1\r\n" : "_\r\n");
}

void Reply::null_array() {
  out_->append(protocol_ < 3 ? "*-1\r\n" : "_\r\n");
}

}  // namespace respkv
