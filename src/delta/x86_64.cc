// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "delta/regions.h"

namespace segue::delta {

namespace {

constexpr std::size_t kMaxInstructionBytes = 15;

// Per opcode: what follows it.
enum Operand : std::uint8_t {
  modrm = 1,
  imm8 = 2,
  imm16 = 4,
  imm_z = 8,      // 4 bytes, or 2 with an operand-size prefix
  imm_v = 16,     // imm_z, or 8 bytes with REX.W
  relative = 32,  // a 32-bit displacement
  unknown = 64,
  offset64 = 128,
};

using Map = std::array<std::uint8_t, 256>;

constexpr void set(Map& map, unsigned first, unsigned last, unsigned operands) {
  for (unsigned i = first; i <= last; ++i) map[i] = static_cast<std::uint8_t>(operands);
}

constexpr Map kOneByte = [] {
  Map map{};
  for (unsigned row = 0; row < 0x40; row += 8) {
    set(map, row, row + 3, modrm);
    set(map, row + 4, row + 4, imm8);
    set(map, row + 5, row + 5, imm_z);
    set(map, row + 6, row + 7, unknown);
  }
  set(map, 0x60, 0x62, unknown);
  set(map, 0x63, 0x63, modrm);
  set(map, 0x68, 0x68, imm_z);
  set(map, 0x69, 0x69, modrm | imm_z);
  set(map, 0x6a, 0x6a, imm8);
  set(map, 0x6b, 0x6b, modrm | imm8);
  set(map, 0x70, 0x7f, imm8);
  set(map, 0x80, 0x80, modrm | imm8);
  set(map, 0x81, 0x81, modrm | imm_z);
  set(map, 0x82, 0x82, unknown);
  set(map, 0x83, 0x83, modrm | imm8);
  set(map, 0x84, 0x8f, modrm);
  set(map, 0x9a, 0x9a, unknown);
  set(map, 0xa0, 0xa3, offset64);
  set(map, 0xa8, 0xa8, imm8);
  set(map, 0xa9, 0xa9, imm_z);
  set(map, 0xb0, 0xb7, imm8);
  set(map, 0xb8, 0xbf, imm_v);
  set(map, 0xc0, 0xc1, modrm | imm8);
  set(map, 0xc2, 0xc2, imm16);
  set(map, 0xc6, 0xc6, modrm | imm8);
  set(map, 0xc7, 0xc7, modrm | imm_z);
  set(map, 0xc8, 0xc8, imm16 | imm8);
  set(map, 0xca, 0xcb, unknown);
  set(map, 0xcd, 0xcd, imm8);
  set(map, 0xce, 0xce, unknown);
  set(map, 0xd0, 0xd3, modrm);
  set(map, 0xd4, 0xd6, unknown);
  set(map, 0xd8, 0xdf, modrm);
  set(map, 0xe0, 0xe7, imm8);
  set(map, 0xe8, 0xe9, relative);
  set(map, 0xea, 0xea, unknown);
  set(map, 0xeb, 0xeb, imm8);
  set(map, 0xf6, 0xf7, modrm);
  set(map, 0xfe, 0xff, modrm);
  return map;
}();

constexpr Map kTwoByte = [] {
  Map map{};
  set(map, 0x00, 0xff, modrm);
  for (const unsigned none : {0x05U, 0x06U, 0x07U, 0x08U, 0x09U, 0x0bU, 0x0eU, 0x77U}) {
    set(map, none, none, 0);
  }
  set(map, 0x04, 0x04, unknown);
  set(map, 0x0a, 0x0a, unknown);
  set(map, 0x0c, 0x0c, unknown);
  set(map, 0x24, 0x27, unknown);
  set(map, 0x30, 0x37, 0);
  set(map, 0x70, 0x73, modrm | imm8);
  set(map, 0x80, 0x8f, relative);
  set(map, 0xa0, 0xa2, 0);
  set(map, 0xa4, 0xa4, modrm | imm8);
  set(map, 0xa8, 0xaa, 0);
  set(map, 0xac, 0xac, modrm | imm8);
  set(map, 0xba, 0xba, modrm | imm8);
  set(map, 0xc2, 0xc2, modrm | imm8);
  set(map, 0xc4, 0xc6, modrm | imm8);
  set(map, 0xc8, 0xcf, 0);
  return map;
}();

constexpr std::array<bool, 256> kIsLegacyPrefix = [] {
  std::array<bool, 256> prefixes{};
  for (const unsigned byte :
       {0x26U, 0x2eU, 0x36U, 0x3eU, 0x64U, 0x65U, 0x66U, 0x67U, 0xf0U, 0xf2U, 0xf3U}) {
    prefixes[byte] = true;
  }
  return prefixes;
}();

// Where so many bytes are left, none has to be asked whether it is there: 15 prefixes and the rest.
constexpr std::size_t kRoomBytes = 2 * kMaxInstructionBytes + 2;

// Reads an instruction from front to back; past the end it reads zeros, and there is none then.
// With room it reads on: what is longer than an instruction can be is none either.
template <bool kHasRoom>
class Decoder {
 public:
  explicit Decoder(ByteView code)
      : code_(code.first(std::min(code.size(), kMaxInstructionBytes))) {}

  Instruction decode() {
    while (at_ < code_.size() && kIsLegacyPrefix[code_[at_]]) {
      short_operand_ = short_operand_ || code_[at_] == 0x66;
      ++at_;
    }
    if ((peek() & 0xf0) == 0x40) wide_ = (next() & 8) != 0;
    const unsigned operands = opcode();
    if ((operands & unknown) != 0) return {};
    return take_operands(operands);
  }

 private:
  [[nodiscard]] std::uint8_t peek() const {
    return kHasRoom || at_ < code_.size() ? code_.data()[at_] : std::uint8_t{0};
  }
  std::uint8_t next() {
    const std::uint8_t byte = peek();
    ++at_;
    return byte;
  }

  unsigned opcode() {
    opcode_ = next();
    if (opcode_ == 0xc4 || opcode_ == 0xc5 || opcode_ == 0x62) return vector_opcode();
    if (opcode_ != 0x0f) return kOneByte[opcode_];
    opcode_ = next();
    if (opcode_ == 0x38 || opcode_ == 0x3a) {
      const bool has_immediate = opcode_ == 0x3a;
      opcode_ = next();
      is_one_byte_ = false;
      return has_immediate ? modrm | imm8 : modrm;
    }
    is_one_byte_ = false;
    return kTwoByte[opcode_];
  }

  // VEX and EVEX: a map number takes the place of the escape bytes.
  unsigned vector_opcode() {
    unsigned map = 1;
    if (opcode_ == 0xc5) {
      at_ += 1;
    } else {
      map = peek() & (opcode_ == 0xc4 ? 0x1fU : 0x07U);
      at_ += opcode_ == 0xc4 ? 2 : 3;
    }
    opcode_ = next();
    is_one_byte_ = false;
    if (map == 1) return opcode_ == 0x77 ? 0U : kTwoByte[opcode_] & (modrm | imm8 | unknown);
    if (map == 3) return modrm | imm8;
    return map == 2 || map == 5 || map == 6 ? modrm : unknown;
  }

  Instruction take_operands(unsigned operands) {
    Instruction instruction;
    if ((operands & modrm) != 0) take_modrm(operands, instruction);
    if ((operands & relative) != 0) {
      if (short_operand_ && is_one_byte_) return {};
      instruction.field_at = at_;
      at_ += 4;
    }
    const std::size_t z_bytes = short_operand_ ? 2 : 4;
    if ((operands & imm8) != 0) at_ += 1;
    if ((operands & imm16) != 0) at_ += 2;
    if ((operands & imm_z) != 0) at_ += z_bytes;
    if ((operands & imm_v) != 0) at_ += wide_ ? 8 : z_bytes;
    if ((operands & offset64) != 0) at_ += 8;
    if (at_ > code_.size()) return {};
    instruction.length = at_;
    return instruction;
  }

  void take_modrm(unsigned& operands, Instruction& instruction) {
    const std::uint8_t byte = next();
    const unsigned mode = byte >> 6;
    const unsigned memory = byte & 7U;
    // TEST has an immediate where the others of its group have none.
    if (is_one_byte_ && (opcode_ == 0xf6 || opcode_ == 0xf7) && ((byte >> 3) & 7) < 2) {
      operands |= opcode_ == 0xf6 ? imm8 : imm_z;
    }
    if (mode == 3) return;
    if (memory == 4) {
      const std::uint8_t scale_index_base = next();
      if (mode == 0 && (scale_index_base & 7) == 5) at_ += 4;
    } else if (mode == 0 && memory == 5) {
      instruction.field_at = at_;
      at_ += 4;
    }
    if (mode == 1) at_ += 1;
    if (mode == 2) at_ += 4;
  }

  ByteView code_;
  std::size_t at_ = 0;
  std::uint8_t opcode_ = 0;
  bool short_operand_ = false;
  bool wide_ = false;
  bool is_one_byte_ = true;
};

}  // namespace

Instruction decode_x86_64(ByteView code) {
  return code.size() >= kRoomBytes ? Decoder<true>(code).decode() : Decoder<false>(code).decode();
}

}  // namespace segue::delta
