// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

// Logistic mixing of adaptive bit predictors, after lpaq and PAQ8 (Mahoney 2005 to 2007), in
// integers only: both sides compute the same on every machine.
namespace segue::delta {

// The logistic function of x / 256, of 2^16; between 22 and 65514.
inline constexpr std::array<std::uint16_t, 4096> kSquash = [] {
  // Interpolates exact values at multiples of 128 / 256.
  constexpr std::array<std::int32_t, 33> kExact = {
      22,    36,    60,    98,    162,   267,   439,   720,   1179,  1921,  3108,
      4971,  7812,  11955, 17625, 24743, 32768, 40793, 47911, 53581, 57724, 60565,
      62428, 63615, 64357, 64816, 65097, 65269, 65374, 65438, 65476, 65500, 65514};
  std::array<std::uint16_t, 4096> table{};
  for (std::int32_t i = 0; i < 4096; ++i) {
    const auto low = static_cast<std::size_t>(i >> 7);
    const std::int32_t weight = i & 127;
    table[static_cast<std::size_t>(i)] = static_cast<std::uint16_t>(
        (kExact[low] * (128 - weight) + kExact[low + 1] * weight + 64) >> 7);
  }
  return table;
}();

// Its inverse: of a probability of 2^12, what squash would give it.
inline constexpr std::array<std::int16_t, 4096> kStretch = [] {
  std::array<std::int16_t, 4096> table{};
  std::size_t next = 0;
  for (std::size_t x = 0; x < 4096; ++x) {
    const std::size_t reached = kSquash[x] >> 4;
    for (; next <= reached && next < 4096; ++next) {
      table[next] = static_cast<std::int16_t>(static_cast<std::int32_t>(x) - 2048);
    }
  }
  for (; next < 4096; ++next) table[next] = 2047;
  return table;
}();

// 22 bits of probability and 10 of how often it was seen, which sets how fast it adapts. All zero
// bits: never seen.
class BitSlot {
 public:
  [[nodiscard]] std::int16_t stretched() const { return kStretch[(word_ ^ kHalf) >> 20]; }

  // Alone, without a mixer.
  [[nodiscard]] std::uint32_t probability16() const {
    return std::clamp<std::uint32_t>((word_ ^ kHalf) >> 16, 16, 65520);
  }

  template <std::uint32_t limit>
  void update(unsigned bit) {
    static_assert(limit < kRates.size());
    const std::uint32_t word = word_ ^ kHalf;
    const std::uint32_t seen = word & 1023;
    const auto probability = static_cast<std::int32_t>(word >> 10);
    const std::int32_t wanted = bit != 0 ? (1 << 22) - 1 : 0;
    const std::int32_t step = (((wanted - probability) >> 3) * kRates[seen]) >> 10;
    word_ =
        (static_cast<std::uint32_t>(probability + step) << 10 | std::min(seen + 1, limit)) ^ kHalf;
  }

 private:
  static constexpr std::uint32_t kHalf = 0x80000000;
  static constexpr std::array<std::int32_t, 512> kRates = [] {
    std::array<std::int32_t, 512> rates{};
    for (std::int32_t i = 0; i < 512; ++i) {
      rates[static_cast<std::size_t>(i)] = 16384 / (2 * i + 3);
    }
    return rates;
  }();

  std::uint32_t word_ = 0;
};

// Eight predictions, in two words: what is put together in registers is read faster than what was
// just written piece by piece. What is not set counts as nothing.
class MixerInputs {
 public:
  static constexpr std::size_t kCount = 8;

  void set(std::size_t input, std::int16_t stretched) {
    words_[input / 4] |= std::uint64_t{static_cast<std::uint16_t>(stretched)} << (input % 4 * 16);
  }
  [[nodiscard]] std::int16_t get(std::size_t input) const {
    return static_cast<std::int16_t>(words_[input / 4] >> (input % 4 * 16));
  }
#ifdef __SSE2__
  [[nodiscard]] __m128i vector() const {
    return _mm_set_epi64x(static_cast<long long>(words_[1]), static_cast<long long>(words_[0]));
  }
#endif

 private:
  std::array<std::uint64_t, 2> words_{};
};

// Weighs predictions; weights are chosen by a small context. Sixteen-bit weights, of which 8192 is
// one, so that SSE2 does it in a few instructions; without it the same is computed.
class Mixer {
 public:
  explicit Mixer(std::size_t contexts, std::int16_t weight) : weights_(contexts, filled(weight)) {}

  std::uint32_t probability(std::size_t context, const MixerInputs& in) {
    chosen_ = weights_[context].data();
    const std::int32_t x = std::clamp(dot_product(in) >> 13, -2047, 2047);
    one_ = kSquash[static_cast<std::size_t>(x + 2048)];
    return one_;
  }
  void update(unsigned bit, std::int32_t rate, const MixerInputs& in) {
    const std::int32_t error =
        ((static_cast<std::int32_t>(bit) << 16) - static_cast<std::int32_t>(one_)) * rate >> 5;
    train(static_cast<std::int16_t>(std::clamp(error, -32767, 32767)), in);
  }

 private:
  using Lane = std::array<std::int16_t, MixerInputs::kCount>;
  static Lane filled(std::int16_t weight) {
    Lane weights;
    weights.fill(weight);
    return weights;
  }

#ifdef __SSE2__
  [[nodiscard]] std::int32_t dot_product(const MixerInputs& in) const {
    __m128i sum = _mm_madd_epi16(in.vector(), load(chosen_));
    sum = _mm_add_epi32(sum, _mm_srli_si128(sum, 8));
    sum = _mm_add_epi32(sum, _mm_srli_si128(sum, 4));
    return _mm_cvtsi128_si32(sum);
  }
  void train(std::int16_t error, const MixerInputs& in) {
    const __m128i step = _mm_mulhi_epi16(in.vector(), _mm_set1_epi16(error));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(chosen_), _mm_adds_epi16(load(chosen_), step));
  }
  static __m128i load(const std::int16_t* at) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
  }
#else
  [[nodiscard]] std::int32_t dot_product(const MixerInputs& in) const {
    std::int32_t sum = 0;
    for (std::size_t i = 0; i < MixerInputs::kCount; ++i) {
      sum += std::int32_t{in.get(i)} * chosen_[i];
    }
    return sum;
  }
  void train(std::int16_t error, const MixerInputs& in) {
    for (std::size_t i = 0; i < MixerInputs::kCount; ++i) {
      const std::int32_t step = (std::int32_t{in.get(i)} * error) >> 16;
      chosen_[i] = static_cast<std::int16_t>(std::clamp(chosen_[i] + step, -32768, 32767));
    }
  }
#endif

  std::vector<Lane> weights_;
  std::int16_t* chosen_ = nullptr;
  std::uint32_t one_ = 32768;
};

inline std::uint32_t mix_hash(std::uint32_t a, std::uint32_t b) {
  std::uint32_t h = a * 0x9e3779b1U + b * 0x85ebca6bU + 0x27d4eb2fU;
  h ^= h >> 15;
  h *= 0x2c1b3c6dU;
  return h ^ (h >> 13);
}

}  // namespace segue::delta
