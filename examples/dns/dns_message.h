// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

// As much of RFC 1035 as a responder for A and TXT records needs.
namespace dns {

inline constexpr std::size_t kMaxMessageBytes = 512;
inline constexpr std::size_t kMaxTextBytes = 255;
inline constexpr std::uint16_t kTypeA = 1;
inline constexpr std::uint16_t kTypeTxt = 16;

struct Record {
  std::uint16_t type;
  std::string data;  // A: 4 bytes; TXT: the text
};

// By name: lower case, dots between labels, none at the end.
using Zone = std::map<std::string, std::vector<Record>>;

// The answer to one datagram; empty if it deserves none, because it is no query. What is malformed,
// unknown or not supported is answered with the code that RFC 1035 has for it.
std::vector<std::uint8_t> answer(std::span<const std::uint8_t> query, const Zone& zone);

}  // namespace dns
