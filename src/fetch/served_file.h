// SPDX-License-Identifier: Apache-2.0
// What a request for a file of a release library asks for. Pure; its words come from anybody.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace segue::fetch {

// A file that may be served: metadata/NAME.json or objects/AA/HEX, and nothing else.
struct ServedFile {
  std::string path;           // below the library; has no "..", and no name begins with a dot
  bool is_immutable = false;  // its bytes never change under this name
};

// `target` is that of a request (RFC 9112, section 3.2.1). Nothing: there is no such file.
std::optional<ServedFile> parse_target(std::string_view target);

// Bytes of a file, from `first_byte` on.
struct ByteRange {
  std::uint64_t first_byte = 0;
  std::uint64_t byte_count = 0;
  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

struct RangeAnswer {
  enum class Kind : std::uint8_t {
    whole,  // no range, one that is malformed, or several: all of it (RFC 9110, 14.2)
    part,
    unsatisfiable,  // 416
  };
  Kind kind = Kind::whole;
  ByteRange range;  // of `whole`: the whole file
  friend bool operator==(const RangeAnswer&, const RangeAnswer&) = default;
};
// `field` is the value of Range; empty: there is none.
RangeAnswer parse_range(std::string_view field, std::uint64_t file_bytes);

}  // namespace segue::fetch
