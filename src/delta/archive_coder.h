// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <optional>
#include <set>
#include <vector>

#include "delta/file_coder.h"
#include "delta/packing.h"

namespace segue::delta {

// A payload that is packed in the target: unpacked it is made of what is unpacked at a place of the
// base, then packed again.
struct MemberPlan {
  PackSettings settings;
  bool has_base = false;
  std::uint64_t base_at = 0;  // where the base's packed stream begins
  std::uint64_t plain_bytes = 0;
  std::uint64_t packed_bytes = 0;  // when encoding
  FilePlan contents;
};

// Bytes as they are, made of the base's bytes as they are; then, but at the file's end, a member.
struct ArchivePart {
  std::uint64_t raw_bytes = 0;
  FilePlan raw;
  std::optional<MemberPlan> member;
};

struct ArchivePlan {
  std::vector<ArchivePart> parts;
};

// The context of the flag before each file of a delta that has archives.
inline constexpr std::uint32_t kIsArchive = 15;

// Codes a file in parts, in either direction. Memory when decoding: beside FileCoder's, one member
// of the base and one compressor at a time.
template <class Coder>
class ArchiveCoder {
 public:
  ArchiveCoder(SymbolCoder<Coder>& symbols, FileCoder<Coder>& files)
      : symbols_(symbols), files_(files) {}

  // As FileCoder::code(). Decoding does not fill `plan`. failed_precondition when this library
  // would not pack a member as the maker's did.
  base::Result<void> code(ByteView base, std::uint64_t target_size, ByteView target,
                          ArchivePlan& plan, const Emit& emit);

 private:
  // Of the file at hand.
  struct Position {
    std::uint64_t target_at = 0;
    std::uint64_t left = 0;
    std::uint64_t base_end = 0;       // where the base goes on
    std::uint64_t unpacked_left = 0;  // bytes that may still be unpacked or packed
  };

  base::Result<void> code_raw(ByteView base, ByteView target, ArchivePart& part, Position& position,
                              const Emit& emit);
  base::Result<void> code_member(ByteView base, ByteView target, MemberPlan& member,
                                 Position& position, const Emit& emit);
  base::Result<void> code_settings(PackSettings& settings);
  base::Result<Unpacked> unpack_base(ByteView base, MemberPlan& member, Position& position);
  base::Result<void> code_contents(const Unpacked& base, ByteView target, MemberPlan& member,
                                   Position& position, const Emit& emit);

  SymbolCoder<Coder>& symbols_;
  FileCoder<Coder>& files_;
  PackSettings last_settings_;
  std::set<PackSettings> agreed_;  // on which the two libraries are the same
};

extern template class ArchiveCoder<RangeEncoder>;
extern template class ArchiveCoder<RangeDecoder>;

}  // namespace segue::delta
