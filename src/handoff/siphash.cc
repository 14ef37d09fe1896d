// SPDX-License-Identifier: Apache-2.0
#include "handoff/siphash.h"

#include <bit>
#include <cstring>

namespace segue::handoff {

void SipStream::State::round() {
  v0 += v1;
  v1 = std::rotl(v1, 13) ^ v0;
  v0 = std::rotl(v0, 32);
  v2 += v3;
  v3 = std::rotl(v3, 16) ^ v2;
  v0 += v3;
  v3 = std::rotl(v3, 21) ^ v0;
  v2 += v1;
  v1 = std::rotl(v1, 17) ^ v2;
  v2 = std::rotl(v2, 32);
}

void SipStream::State::absorb(uint64_t word) {
  v3 ^= word;
  round();
  round();
  v0 ^= word;
}

SipStream::SipStream(uint64_t key0, uint64_t key1)
    : state_{key0 ^ 0x736f6d6570736575, key1 ^ 0x646f72616e646f6d, key0 ^ 0x6c7967656e657261,
             key1 ^ 0x7465646279746573} {}

void SipStream::add(std::string_view bytes) {
  const auto add_byte = [this](char byte) {
    partial_ |= static_cast<uint64_t>(static_cast<uint8_t>(byte)) << (8 * (size_ % 8));
    if (++size_ % 8 != 0) return;
    state_.absorb(partial_);
    partial_ = 0;
  };
  for (; size_ % 8 != 0 && !bytes.empty(); bytes.remove_prefix(1)) add_byte(bytes.front());
  for (; bytes.size() >= 8; bytes.remove_prefix(8)) {
    uint64_t word = 0;
    memcpy(&word, bytes.data(), 8);
    state_.absorb(word);
    size_ += 8;
  }
  for (const char byte : bytes) add_byte(byte);
}

uint64_t SipStream::value() const {
  State state = state_;
  state.absorb(size_ << 56 | partial_);
  state.v2 ^= 0xFF;
  for (int i = 0; i < 4; ++i) state.round();
  return state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}

uint64_t siphash24(std::string_view bytes, uint64_t key0, uint64_t key1) {
  SipStream stream(key0, key1);
  stream.add(bytes);
  return stream.value();
}

}  // namespace segue::handoff
