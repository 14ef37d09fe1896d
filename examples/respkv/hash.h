// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace respkv {

// Set once, before the first table is filled: with an unknown seed, a client cannot choose keys
// that all fall into one bucket.
inline std::uint64_t hash_seed = 0x9e3779b97f4a7c15ULL;

namespace hash_detail {

__extension__ using Wide = unsigned __int128;

inline std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  const Wide product = static_cast<Wide>(a) * b;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64U);
}

inline std::uint64_t load(const char* from, std::size_t size) {
  std::uint64_t word = 0;
  std::memcpy(&word, from, size);
  return word;
}

}  // namespace hash_detail

inline std::uint64_t hash_bytes(std::string_view bytes) {
  constexpr std::uint64_t kFirst = 0xa0761d6478bd642fULL;
  constexpr std::uint64_t kSecond = 0xe7037ed1a0b428dbULL;
  std::uint64_t state = hash_seed ^ bytes.size();
  const char* at = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 16; at += 16, left -= 16) {
    state =
        hash_detail::mix(hash_detail::load(at, 8) ^ kFirst, hash_detail::load(at + 8, 8) ^ state);
  }
  if (left >= 8) {
    state = hash_detail::mix(hash_detail::load(at, 8) ^ kSecond, state ^ kFirst);
    at += 8;
    left -= 8;
  }
  const std::uint64_t tail = left == 0 ? 0 : hash_detail::load(at, left);
  return hash_detail::mix(tail ^ kFirst, state ^ kSecond);
}

}  // namespace respkv
