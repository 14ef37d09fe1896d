// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

#include "delta/packing.h"

namespace segue::delta {

// A compressed payload within a file.
struct Member {
  PackCodec codec = PackCodec::deflate;
  std::uint64_t at = 0;
  std::uint64_t packed_bytes = 0;
  std::uint64_t plain_bytes = 0;
  std::string_view name;  // borrowed from the file; empty: it has none
};

inline constexpr std::size_t kMaxMembers = std::size_t{1} << 16;  // of one file
// Unpacked bytes per packed one, so that a bomb stays packed: of one member, and of one file.
inline constexpr std::uint64_t kMaxExpansion = 64;

// What can be unpacked in a file, by place, apart from each other: deflated members of zip archives
// (APPNOTE.TXT 4.3.7), also of archives that are stored in others; gzip members (RFC 1952); zstd
// frames (RFC 8878). Found by what they begin with, so that no index has to be right.
std::vector<Member> find_members(ByteView file);

}  // namespace segue::delta
