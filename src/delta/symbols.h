// SPDX-License-Identifier: Apache-2.0
#pragma once

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
  count,  // how many there are
};

// Codes flags, numbers and bytes. A caller gives up to two contexts: small values that the symbol
// is likely to depend on. When decoding, the value passed in is ignored.
template <class Coder>
class SymbolCoder {
 public:
  explicit SymbolCoder(Coder& coder)
      : coder_(coder),
        slots_(kSlots),
        mixer_(static_cast<std::size_t>(SymbolKind::count) * 2, 8192 * 3 / 10) {}

  bool flag(bool value, SymbolKind kind, std::uint32_t a = 0, std::uint32_t b = 0) {
    begin(kind, a, b);
    return bit(value ? 1 : 0, 1) != 0;
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
    std::uint32_t node = 1;
    for (int i = bits - 1; i >= 0; --i) node = node << 1 | bit(value >> i & 1, node);
    return node - (1U << bits);
  }

  std::uint8_t byte(std::uint8_t value, SymbolKind kind, std::uint32_t a = 0, std::uint32_t b = 0) {
    return static_cast<std::uint8_t>(small(value, 8, kind, a, b));
  }

  // Its width in bits first, then the bits below the highest one.
  std::uint64_t number(std::uint64_t value, SymbolKind kind, std::uint32_t a = 0,
                       std::uint32_t b = 0) {
    begin(kind, a, b);
    const auto width =
        std::min<std::uint32_t>(static_cast<std::uint32_t>(std::bit_width(value)), 63);
    std::uint32_t node = 1;
    for (int i = 5; i >= 0; --i) node = node << 1 | bit(width >> i & 1, node);
    const std::uint32_t coded = node - 64;
    if (coded == 0) return 0;
    std::uint64_t result = coded == 63 ? 0 : 1;
    for (int i = coded == 63 ? 63 : static_cast<int>(coded) - 2; i >= 0; --i) {
      const auto prefix = static_cast<std::uint32_t>(result ^ (result >> 32));
      result = result << 1 | bit(static_cast<unsigned>(value >> i & 1),
                                 mix_hash(prefix, coded << 8 | static_cast<std::uint32_t>(i)));
    }
    return result;
  }

  [[nodiscard]] Coder& coder() { return coder_; }

 private:
  static constexpr int kSlotBits = 18;
  static constexpr std::size_t kSlots = std::size_t{1} << kSlotBits;
  static constexpr std::size_t kInputs = 4;
  static constexpr std::uint32_t kLimit = 255;
  static constexpr std::uint32_t kQuickLimit = 500;
  static constexpr std::int32_t kRate = 12;

  void begin(SymbolKind kind, std::uint32_t a, std::uint32_t b) {
    const auto number = static_cast<std::uint32_t>(kind);
    hashes_[0] = mix_hash(number, 0);
    hashes_[1] = mix_hash(number + 1000, a);
    hashes_[2] = mix_hash(number + 2000, b);
    hashes_[3] = mix_hash(hashes_[1], b);
    kind_ = number;
  }

  unsigned bit(unsigned value, std::uint32_t node) {
    std::array<BitSlot*, kInputs> used;
    for (std::size_t i = 0; i < kInputs; ++i) {
      used[i] = &slots_[(hashes_[i] + node * 0x9e3779b1U) >> (32 - kSlotBits)];
      mixer_.set(i, used[i]->stretched());
    }
    const unsigned coded = coder_.code(value, mixer_.probability(kind_ * 2 + (node == 1 ? 1 : 0)));
    mixer_.update(coded, kRate);
    for (BitSlot* slot : used) slot->update<kLimit>(coded);
    return coded;
  }

  Coder& coder_;
  std::vector<BitSlot> slots_;
  Mixer mixer_;
  std::array<std::uint32_t, kInputs> hashes_{};
  std::uint32_t kind_ = 0;
};

}  // namespace segue::delta
