// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

namespace segue::delta {

// One random word per byte value, for rolling hashes: h = (h << 1) + kGear[byte] depends on the
// last 64 bytes. From splitmix64 (Steele, Lea, Flood 2014) with seed 0x5e60e.
inline constexpr std::array<std::uint64_t, 256> kGear = [] {
  std::array<std::uint64_t, 256> words{};
  std::uint64_t state = 0x5e60e;
  for (std::uint64_t& word : words) {
    state += 0x9e3779b97f4a7c15;
    word = state;
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9;
    word = (word ^ (word >> 27)) * 0x94d049bb133111eb;
    word ^= word >> 31;
  }
  return words;
}();

}  // namespace segue::delta
