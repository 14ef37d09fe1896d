// SPDX-License-Identifier: Apache-2.0
// What a client of `segue server` may ask for. No answer leads out of the library, or past a file's
// end.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "fetch/served_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace fetch = segue::fetch;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto file = fetch::parse_target(text)) {
    const bool inside = file->path.starts_with("metadata/") || file->path.starts_with("objects/");
    if (!inside || file->path.find("/.") != std::string::npos) abort();
  }
  for (const std::uint64_t file_bytes : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1000}}) {
    const auto answer = fetch::parse_range(text, file_bytes);
    const auto& range = answer.range;
    if (range.first_byte > file_bytes || range.byte_count > file_bytes - range.first_byte) abort();
    if (answer.kind == fetch::RangeAnswer::Kind::part && range.byte_count == 0) abort();
  }
  return 0;
}
