// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "delta/mixing.h"

namespace segue::delta {

// What a symbol says; each has statistics of its own. The numbers are part of the format.
enum class SymbolKind : std::uint32_t {
  table_bits,
  entry_run,
  entry_action,
  entry_type,
  entry_mode,
  entry_size,
  entry_source,
  path_shared,
  path_byte,
  text_byte,
  attribute_count,
  hole_count,
  hole_number,
  link_number,
  file_flag,
  region_count,
  region_kind,
  region_number,
  operation_last,
  operation_seek_zero,
  operation_seek,
  operation_add,
  operation_extra,
  residual_gap,
  residual_long_gap,
  residual_byte,
  field_hit,
  field_repeat,
  field_miss,
  archive_number,
  residual_gap_guess,
  residual_byte_guess,
  count,  // how many there are
};

// Codes flags, numbers and bytes. A caller gives up to two contexts: small values that the symbol
// is likely to depend on. When decoding, the value passed in is ignored.
template <class Coder>
class SymbolCoder {
 public:
  explicit SymbolCoder(Coder& coder)
      : coder_(coder),
        blocks_(std::size_t{1} << (kSlotBits - kGroupBits)),
        mixer_(static_cast<std::size_t>(SymbolKind::count) * 2, 8192 * 3 / 10) {}

  bool flag(bool value, SymbolKind kind, std::uint32_t a = 0, std::uint32_t b = 0) {
    begin(kind, a, b);
    Slots used;
    for (std::size_t i = 0; i < kInputs; ++i) {
      const std::uint32_t place = (hashes_[i] + 0x9e3779b1U) >> (32 - kSlotBits);
      used[i] = &blocks_[place / kBlockSlots].slots[place % kBlockSlots];
    }
    return bit(value ? 1 : 0, true, used) != 0;
  }

  // A flag that comes very often and is nearly always the same: one slot, which the caller keeps.
  bool quick_flag(bool value, BitSlot& slot) {
    const unsigned bit = coder_.code(value ? 1 : 0, slot.probability16());
    slot.update<kQuickLimit>(bit);
    return bit != 0;
  }

  // A number below 2^bits, bits at most 8.
  std::uint32_t small(std::uint32_t value, int bits, SymbolKind kind, std::uint32_t a = 0,
                      std::uint32_t b = 0) {
    begin(kind, a, b);
    if (bits <= kGroupBits) return group(value, bits, 0);
    const int low_bits = bits - kGroupBits;
    const std::uint32_t high = group(value >> low_bits, kGroupBits, 0);
    return high << low_bits | group(value & ((1U << low_bits) - 1), low_bits, high + 1);
  }

  std::uint8_t byte(std::uint8_t value, SymbolKind kind, std::uint32_t a = 0, std::uint32_t b = 0) {
    return static_cast<std::uint8_t>(small(value, 8, kind, a, b));
  }

  // Its width in bits first, then the bits below the highest one.
  std::uint64_t number(std::uint64_t value, SymbolKind kind, std::uint32_t a = 0,
                       std::uint32_t b = 0) {
    begin(kind, a, b);
    const std::uint32_t width =
        code_width(std::min<std::uint32_t>(static_cast<std::uint32_t>(std::bit_width(value)), 63));
    if (width == 0) return 0;
    std::uint64_t result = width == 63 ? 0 : 1;
    for (int left = width == 63 ? 64 : static_cast<int>(width) - 1; left > 0;) {
      const int bits = std::min(left, kGroupBits);
      const auto prefix = static_cast<std::uint32_t>(result ^ (result >> 32));
      left -= bits;
      const auto part = static_cast<std::uint32_t>(value >> left) & ((1U << bits) - 1);
      result = result << bits |
               group(part, bits, mix_hash(prefix, width << 8 | static_cast<std::uint32_t>(left)));
    }
    return result;
  }

  [[nodiscard]] Coder& coder() { return coder_; }

 private:
  static constexpr int kSlotBits = 18;
  static constexpr std::size_t kInputs = 4;
  static constexpr std::uint32_t kLimit = 255;
  static constexpr std::uint32_t kQuickLimit = 500;
  static constexpr std::int32_t kRate = 12;
  static constexpr int kGroupBits = 4;
  static constexpr std::size_t kBlockSlots = std::size_t{1} << kGroupBits;

  // A line of cache: the statistics of up to four bits that come one after the other.
  struct alignas(64) Block {
    std::array<BitSlot, kBlockSlots> slots{};
  };

  using Slots = std::array<BitSlot*, kInputs>;

  void begin(SymbolKind kind, std::uint32_t a, std::uint32_t b) {
    const auto number = static_cast<std::uint32_t>(kind);
    hashes_[0] = mix_hash(number, 0);
    hashes_[1] = mix_hash(number + 1000, a);
    hashes_[2] = mix_hash(number + 2000, b);
    hashes_[3] = mix_hash(hashes_[1], b);
    kind_ = number;
  }

  // Up to 14 in one group, more in three.
  std::uint32_t code_width(std::uint32_t width) {
    constexpr std::uint32_t kWide = 15;
    const std::uint32_t narrow = group(std::min(width, kWide), kGroupBits, 0);
    if (narrow < kWide) return narrow;
    const std::uint32_t high = group((width - kWide) >> 3, 3, 1);
    const std::uint32_t low = group((width - kWide) & 7, 3, 2 + high);
    return std::min<std::uint32_t>(kWide + (high << 3 | low), 63);
  }

  // Bits of a symbol that come together; `salt` tells a symbol's groups apart.
  std::uint32_t group(std::uint32_t value, int bits, std::uint32_t salt) {
    std::array<Block*, kInputs> blocks;
    for (std::size_t i = 0; i < kInputs; ++i) {
      blocks[i] = &blocks_[(hashes_[i] + salt * 0x9e3779b1U) >> (32 - kSlotBits + kGroupBits)];
    }
    std::uint32_t node = 1;
    for (int i = bits - 1; i >= 0; --i) {
      Slots used;
      for (std::size_t k = 0; k < kInputs; ++k) used[k] = &blocks[k]->slots[node];
      node = node << 1 | bit(value >> i & 1, node == 1, used);
    }
    return node - (1U << bits);
  }

  [[gnu::always_inline]] unsigned bit(unsigned value, bool is_first, const Slots& used) {
    MixerInputs in;
    for (std::size_t i = 0; i < kInputs; ++i) in.set(i, used[i]->stretched());
    const unsigned coded =
        coder_.code(value, mixer_.probability(kind_ * 2 + (is_first ? 1 : 0), in));
    mixer_.update(coded, kRate, in);
    for (BitSlot* slot : used) slot->template update<kLimit>(coded);
    return coded;
  }

  Coder& coder_;
  std::vector<Block> blocks_;
  Mixer mixer_;
  std::array<std::uint32_t, kInputs> hashes_{};
  std::uint32_t kind_ = 0;
};

}  // namespace segue::delta
