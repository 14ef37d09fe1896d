// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "delta/bytes.h"
#include "delta/mixing.h"

namespace segue::delta {

// Codes bytes that nothing was copied for. A byte is predicted by the 1, 2, 3, 4 and 6 bytes before
// it, by what followed the same bytes among earlier literals, and by what followed them in the
// base.
//
// Memory: 2^table_bits blocks of 64 bytes per order, at most 10 MiB, 4 MiB of earlier literals, and
// up to 5 MiB of positions.
template <class Coder>
class LiteralCoder {
 public:
  static constexpr int kMinTableBits = 6;
  static constexpr int kMaxTableBits = 15;

  LiteralCoder(Coder& coder, int table_bits)
      : coder_(coder),
        table_bits_(table_bits),
        mixer_(kMixerSets, 8192 / 4),
        recent_(kHistoryHashes) {
    for (auto& slots : orders_) slots.resize(std::size_t{1} << table_bits);
  }

  // The base of the file to come. With `indexed` its places are found by content, which costs time
  // in proportion to its size.
  void begin_file(ByteView base, bool indexed) {
    base_ = base;
    base_match_ = {};
    base_index_.clear();
    if (!indexed) return;
    index_bits_ = std::clamp(static_cast<int>(std::bit_width(base.size() / kBaseStep)) + 1,
                             kMinIndexBits, kMaxIndexBits);
    base_index_.assign(std::size_t{1} << index_bits_, 0);
    const std::size_t end = std::min<std::size_t>(base.size(), UINT32_MAX);
    for (std::size_t at = 8; at < end; at += kBaseStep) {
      base_index_[base_hash(load_u64(base.data() + at - 8))] = static_cast<std::uint32_t>(at);
    }
  }

  // Literals follow what ends with `tail` (the last eight bytes, the very last highest), and stand
  // where the base goes on at `base_at`.
  void begin_run(std::uint64_t tail, std::uint64_t base_at) {
    tail_ = tail;
    for (int i = 0; i < 8; ++i) remember(static_cast<std::uint8_t>(tail >> (8 * i)));
    history_match_ = {};
    base_match_ = {static_cast<std::size_t>(base_at), 0, base_at < base_.size()};
  }

  std::uint8_t code(std::uint8_t value) {
    find_matches();
    std::uint32_t node = 1;
    for (int half = 0; half < 2; ++half) {
      choose_blocks(half == 0 ? 0 : node);
      std::uint32_t place = 1;
      for (int i = 0; i < 4; ++i) {
        const int shift = 7 - 4 * half - i;
        const unsigned bit = code_bit(value >> shift & 1, place, node, shift);
        place = place << 1 | bit;
        node = node << 1 | bit;
      }
    }
    const auto coded = static_cast<std::uint8_t>(node);
    learn(coded);
    return coded;
  }

 private:
  static constexpr std::size_t kOrders = 5;
  static constexpr std::size_t kMixerSets = 3 * 4 * 2;
  static constexpr std::size_t kHistoryBytes = std::size_t{4} << 20;
  static constexpr std::size_t kHistoryHashes = std::size_t{1} << 18;
  static constexpr int kMinIndexBits = 8;
  static constexpr int kMaxIndexBits = 20;
  static constexpr std::size_t kBaseStep = 4;
  static constexpr std::uint32_t kMaxMatch = 31;
  static constexpr std::uint32_t kLimit = 255;
  static constexpr std::int32_t kRate = 10;

  struct Block {
    std::uint32_t check = 0;
    std::array<BitSlot, 15> slots{};
  };

  // Where the next byte may stand already, and for how long that was right.
  struct Match {
    std::size_t at = 0;
    std::uint32_t length = 0;
    bool valid = false;
    std::uint8_t expected = 0;
  };

  static std::size_t history_hash(std::uint64_t tail) {
    return static_cast<std::size_t>((tail >> 24) * 0x9e3779b97f4a7c15 >> (64 - 18));
  }
  [[nodiscard]] std::size_t base_hash(std::uint64_t tail) const {
    return static_cast<std::size_t>((tail >> 16) * 0x9e3779b97f4a7c15 >> (64 - index_bits_));
  }

  void remember(std::uint8_t byte) {
    if (history_.size() < kHistoryBytes) {
      history_.push_back(byte);
    } else {
      history_[history_end_ % kHistoryBytes] = byte;
    }
    ++history_end_;
  }
  [[nodiscard]] std::uint8_t remembered(std::size_t at) const {
    return history_[at % kHistoryBytes];
  }

  void find_matches() {
    if (!history_match_.valid || history_match_.length == 0) {
      const std::size_t at = recent_[history_hash(tail_)];
      history_match_ = {at, 0, at != 0 && at < history_end_ && history_end_ - at < kHistoryBytes};
      if (history_match_.valid) {
        while (history_match_.length < 8 && history_match_.length < at &&
               remembered(at - 1 - history_match_.length) ==
                   static_cast<std::uint8_t>(tail_ >> (56 - 8 * history_match_.length))) {
          ++history_match_.length;
        }
        if (history_match_.length < 4) history_match_.valid = false;
      }
    }
    if (!base_index_.empty() && base_match_.length < 4) {
      const std::size_t at = base_index_[base_hash(tail_)];
      if (at >= 8 && at < base_.size() && (load_u64(base_.data() + at - 8) ^ tail_) >> 16 == 0) {
        base_match_ = {at, 6, true};
      }
    }
    if (history_match_.valid) history_match_.expected = remembered(history_match_.at);
    base_match_.valid = base_match_.valid && base_match_.at < base_.size();
    if (base_match_.valid) base_match_.expected = base_[base_match_.at];
  }

  // A block holds the 15 bits of a half byte, behind a check that it belongs to the context.
  void choose_blocks(std::uint32_t node) {
    static constexpr std::array<int, kOrders> kBytes = {1, 2, 3, 4, 6};
    for (std::size_t i = 0; i < kOrders; ++i) {
      const std::uint64_t context = (tail_ >> (64 - 8 * kBytes[i])) + node * 0x100000001b3;
      const std::uint64_t hash = context * 0x9e3779b97f4a7c15;
      Block& block = orders_[i][hash >> (64 - table_bits_)];
      const auto check = static_cast<std::uint32_t>(hash >> 8) | 1;
      if (block.check != check) block = {check, {}};
      blocks_[i] = block.slots.data();
    }
  }

  // Whether the bits coded so far are those of the expected byte.
  static bool agrees(const Match& match, std::uint32_t node, int shift) {
    return match.valid && ((match.expected | 0x100U) >> (shift + 1)) == node;
  }

  unsigned code_bit(unsigned value, std::uint32_t place, std::uint32_t node, int shift) {
    MixerInputs in;
    for (std::size_t i = 0; i < kOrders; ++i) in.set(i, blocks_[i][place - 1].stretched());
    BitSlot* history_slot = nullptr;
    BitSlot* base_slot = nullptr;
    in.set(kOrders, match_input(history_match_, node, shift, 0, history_slot));
    in.set(kOrders + 1, match_input(base_match_, node, shift, 64, base_slot));
    in.set(kOrders + 2, 256);
    const std::size_t set = match_class(history_slot, history_match_) * 4 * 2 +
                            match_class(base_slot, base_match_) * 2 + (node == 1 ? 1 : 0);
    const unsigned bit = coder_.code(value, mixer_.probability(set, in));
    mixer_.update(bit, kRate, in);
    for (std::size_t i = 0; i < kOrders; ++i) blocks_[i][place - 1].template update<kLimit>(bit);
    if (history_slot != nullptr) history_slot->template update<511>(bit);
    if (base_slot != nullptr) base_slot->template update<511>(bit);
    return bit;
  }

  std::int16_t match_input(const Match& match, std::uint32_t node, int shift, std::size_t first,
                           BitSlot*& slot) {
    if (!agrees(match, node, shift)) return 0;
    const unsigned expected = match.expected >> shift & 1;
    slot = &match_slots_[first + std::min(match.length, kMaxMatch) * 2 + expected];
    return slot->stretched();
  }
  static std::size_t match_class(const BitSlot* slot, const Match& match) {
    if (slot == nullptr) return 0;
    return match.length < 16 ? 1 : 2;
  }

  static void follow(Match& match, std::uint8_t byte, bool keeps_place) {
    if (!match.valid) return;
    if (match.expected == byte) {
      match.length = std::min(match.length + 1, kMaxMatch);
    } else {
      match.length = 0;
      match.valid = keeps_place;
    }
    ++match.at;
  }

  void learn(std::uint8_t byte) {
    follow(history_match_, byte, false);
    follow(base_match_, byte, true);
    tail_ = tail_ >> 8 | std::uint64_t{byte} << 56;
    remember(byte);
    recent_[history_hash(tail_)] = static_cast<std::uint32_t>(history_end_);
  }

  Coder& coder_;
  int table_bits_;
  std::array<std::vector<Block>, kOrders> orders_;
  std::array<BitSlot*, kOrders> blocks_{};
  std::array<BitSlot, 128> match_slots_{};
  Mixer mixer_;
  std::vector<std::uint8_t> history_;
  std::size_t history_end_ = 0;
  std::vector<std::uint32_t> recent_;
  ByteView base_;
  std::vector<std::uint32_t> base_index_;
  int index_bits_ = kMinIndexBits;
  Match history_match_;
  Match base_match_;
  std::uint64_t tail_ = 0;
};

}  // namespace segue::delta
