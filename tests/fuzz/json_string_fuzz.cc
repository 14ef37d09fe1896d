// SPDX-License-Identifier: Apache-2.0
// Whatever the bytes, append_json_string writes one well-formed JSON string on one line, and what
// is well-formed UTF-8 stays so when it is written once more.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "base/json_writer.h"

namespace {

// RFC 8259: no control character, and every quote inside is escaped.
bool is_json_string(std::string_view text) {
  if (text.size() < 2 || text.front() != '"' || text.back() != '"') return false;
  text = text.substr(1, text.size() - 2);
  bool is_escaped = false;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || (c == '"' && !is_escaped)) return false;
    is_escaped = c == '\\' && !is_escaped;
  }
  return !is_escaped;
}

bool is_plain(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) {
    const auto code = static_cast<unsigned char>(c);
    return code >= 0x20 && code != 0x7F && c != '"' && c != '\\';
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  std::string once;
  segue::base::append_json_string(once, input);
  SEGUE_ASSERT(is_json_string(once));

  const std::string_view content(once.data() + 1, once.size() - 2);
  if (!is_plain(content)) return 0;
  std::string twice;
  segue::base::append_json_string(twice, content);
  SEGUE_ASSERT(once == twice);
  return 0;
}
