// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>

#include "delta/bytes.h"

// Binary arithmetic coding with carry-free 32-bit bounds, as in lpaq (Mahoney 2007). Models are
// written once for both directions: code(bit, p) takes the bit when encoding and gives it back when
// decoding.
namespace segue::delta {

// The probability of a one, of 2^16; between 1 and 65535.
using Probability16 = std::uint32_t;

class RangeEncoder {
 public:
  static constexpr bool kEncodes = true;

  explicit RangeEncoder(Bytes& out) : out_(out) {}

  unsigned code(unsigned bit, Probability16 one) {
    const std::uint32_t middle =
        low_ + static_cast<std::uint32_t>((std::uint64_t{high_ - low_} * one) >> 16);
    if (bit != 0) {
      high_ = middle;
    } else {
      low_ = middle + 1;
    }
    while (((low_ ^ high_) >> 24) == 0) {
      out_.push_back(static_cast<std::uint8_t>(high_ >> 24));
      low_ <<= 8;
      high_ = high_ << 8 | 0xff;
    }
    return bit;
  }
  // The decoder reads zeros behind the end, so the fewest bytes that stay in range are written.
  void finish() {
    if (low_ == 0) return;
    for (int shift = 24; shift >= 0; shift -= 8) {
      const std::uint32_t mask = shift == 0 ? ~0U : ~((1U << shift) - 1);
      const std::uint32_t up = (low_ + ~mask) & mask;
      if (up < low_ || up > high_) continue;
      for (int s = 24; s >= shift; s -= 8) out_.push_back(static_cast<std::uint8_t>(up >> s));
      return;
    }
  }
  [[nodiscard]] bool ok() const { return true; }

 private:
  Bytes& out_;
  std::uint32_t low_ = 0;
  std::uint32_t high_ = 0xffffffff;
};

class RangeDecoder {
 public:
  static constexpr bool kEncodes = false;
  // Zeros that may be read behind the end before the input counts as cut off.
  static constexpr std::uint32_t kSlackBytes = 8;

  // `refill` gives the next piece of input, empty at its end; the piece has to stay until the next
  // call.
  explicit RangeDecoder(std::function<ByteView()> refill) : refill_(std::move(refill)) {
    for (int i = 0; i < 4; ++i) value_ = value_ << 8 | next();
  }

  unsigned code(unsigned /*bit*/, Probability16 one) {
    const std::uint32_t middle =
        low_ + static_cast<std::uint32_t>((std::uint64_t{high_ - low_} * one) >> 16);
    const unsigned bit = value_ <= middle ? 1 : 0;
    if (bit != 0) {
      high_ = middle;
    } else {
      low_ = middle + 1;
    }
    while (((low_ ^ high_) >> 24) == 0) {
      low_ <<= 8;
      high_ = high_ << 8 | 0xff;
      value_ = value_ << 8 | next();
    }
    return bit;
  }
  // False once the input has ended and decoding went on regardless.
  [[nodiscard]] bool ok() const { return missing_bytes_ <= kSlackBytes; }
  // Whether all input was used.
  [[nodiscard]] bool at_end() {
    if (piece_.empty()) piece_ = refill_();
    return piece_.empty();
  }

 private:
  std::uint32_t next() {
    if (piece_.empty()) piece_ = refill_();
    if (piece_.empty()) {
      if (missing_bytes_ <= kSlackBytes) ++missing_bytes_;
      return 0;
    }
    const std::uint8_t byte = piece_.front();
    piece_ = piece_.subspan(1);
    return byte;
  }

  std::function<ByteView()> refill_;
  ByteView piece_;
  std::uint32_t low_ = 0;
  std::uint32_t high_ = 0xffffffff;
  std::uint32_t value_ = 0;
  std::uint32_t missing_bytes_ = 0;
};

}  // namespace segue::delta
