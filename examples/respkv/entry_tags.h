// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

// The fields of the form "respkv.entry". A number that is 0 is not written, so that what one
// version does not know and what another has not set are the same bytes.
namespace respkv::entry_tag {

inline constexpr std::uint32_t kType = 1;        // ValueType
inline constexpr std::uint32_t kString = 2;      // strings: the bytes
inline constexpr std::uint32_t kElement = 3;     // lists, sets: repeated, in order
inline constexpr std::uint32_t kField = 4;       // hashes: repeated, in order ...
inline constexpr std::uint32_t kFieldValue = 5;  // ... and the value of the field of the same rank
inline constexpr std::uint32_t kMember = 6;      // sorted sets: repeated, by score ...
inline constexpr std::uint32_t kScore = 7;       // ... and the score's 8 bytes, likewise
inline constexpr std::uint32_t kExpiresAt = 8;   // milliseconds of the time of day
inline constexpr std::uint32_t kModification = 9;
inline constexpr std::uint32_t kCreatedAt = 10;    // versions 1 and 2; milliseconds
inline constexpr std::uint32_t kModifiedAt = 11;   // version 2; milliseconds
inline constexpr std::uint32_t kChanges = 12;      // version 2; at most kMaxChanges
inline constexpr std::uint32_t kActivity = 13;     // version 3: modified_at << 22 | changes
inline constexpr std::uint32_t kLongestRest = 14;  // version 3: between two changes; milliseconds

inline constexpr std::uint32_t kChangesBits = 22;
inline constexpr std::uint64_t kMaxChanges = (1ULL << kChangesBits) - 1;

}  // namespace respkv::entry_tag
