// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "delta/bytes.h"

// Programs hold addresses of themselves: in instructions, in tables, in relocations. After a change
// most of them differ although nothing else does. Regions say where in the base such addresses
// stand, and what address each place has in the base and in the target, so that the new address can
// be predicted instead of sent.
namespace segue::delta {

enum class RegionKind : std::uint32_t {
  plain,         // only takes part in addresses
  absent,        // has addresses but no bytes in the file (.bss)
  x86_64,        // instructions: relative jumps, calls, and operands
  words64,       // absolute addresses, 8 bytes each
  relocations,   // Elf64_Rela: place and addend
  symbols,       // Elf64_Sym: value
  frame_header,  // .eh_frame_hdr: pairs relative to its begin
  frames,        // .eh_frame: first address and language data of each frame
  go_functions,  // .gopclntab of Go 1.20 and later
  go_module,     // .go.module: words, among them the origin of function data
  go_types,      // .typelink: offsets from the region before that has kind words64
  count,
};

struct Region {
  RegionKind kind = RegionKind::plain;
  std::uint64_t base_offset = 0;  // in the base file
  std::uint64_t base_size = 0;
  std::uint64_t base_address = 0;
  std::uint64_t target_offset = 0;  // in the target file
  std::uint64_t target_address = 0;
  friend bool operator==(const Region&, const Region&) = default;
};

inline constexpr std::size_t kMaxRegions = 64;
inline constexpr std::size_t kMaxFields = std::size_t{1} << 20;  // 16 bytes of memory each

// An address that stands in the base.
struct Field {
  std::uint32_t at = 0;   // its place in the base file
  std::uint8_t size = 4;  // 4 or 8 bytes
  std::uint8_t region = 0;
  std::uint8_t after = 0;    // a relative one counts from so many bytes behind its begin
  bool is_relative = false;  // to its own place; else to `origin`
  std::uint64_t origin = 0;
};

// Fields of the regions, by place, apart from each other, each naming an address within a region.
// A function of its arguments alone, for any bytes: both sides compute it. Regions have to be
// within the base, and the base below 4 GiB. At most kMaxFields.
std::vector<Field> find_fields(ByteView base, const std::vector<Region>& regions);

// The address that a field of the base names.
std::uint64_t address_in(const Field& field, ByteView base, const std::vector<Region>& regions);

// The region that an address belongs to (its end included), or null.
const Region* region_of_address(const std::vector<Region>& regions, std::uint64_t address);

// The length of the instruction at the begin of `code` in 64-bit mode (Intel SDM volume 2, chapter
// 2 and appendix A), or 0 for none that is known.
struct Instruction {
  std::size_t length = 0;
  std::size_t field_at = 0;  // a 32-bit field relative to the instruction's end; 0 for none
};
Instruction decode_x86_64(ByteView code);

}  // namespace segue::delta
