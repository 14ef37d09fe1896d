// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

namespace segue::handoff {

// SipHash-2-4 (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012) of bytes that come in
// pieces of any size.
class SipStream {
 public:
  explicit SipStream(uint64_t key0 = 0, uint64_t key1 = 0);
  void add(std::string_view bytes);
  [[nodiscard]] uint64_t size() const { return size_; }
  // Of all that was added so far; more may follow.
  [[nodiscard]] uint64_t value() const;

 private:
  struct State {
    uint64_t v0, v1, v2, v3;
    void round();
    void absorb(uint64_t word);
  };
  State state_;
  uint64_t partial_ = 0;  // the bytes behind the last whole word
  uint64_t size_ = 0;
};

uint64_t siphash24(std::string_view bytes, uint64_t key0 = 0, uint64_t key1 = 0);

}  // namespace segue::handoff
