// SPDX-License-Identifier: Apache-2.0
#include "delta/archive_coder.h"

#include "delta/members.h"

namespace segue::delta {

namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

// What an archive_number says: its first context.
enum NumberOf : std::uint32_t {
  raw_size,
  same_settings,
  codec,
  level,
  detail,
  identity,
  base_kind,
  base_place,
  plain_size
};

tl::unexpected<base::Error> malformed(std::string_view what) {
  return fail(ErrorCode::data_loss, "the delta is malformed: {}", what);
}

// Chunks of the target can be had all the same, which resource_exhausted would not say.
tl::unexpected<base::Error> cannot_pack(std::string_view why) {
  return fail(ErrorCode::failed_precondition,
              "this host's compression library packs otherwise than the one that the delta was "
              "made with: {}; fetch chunks instead",
              why);
}

std::uint64_t distance(std::uint64_t to, std::uint64_t from) {
  return zigzag(static_cast<std::int64_t>(to - from));
}

ByteView part_of(ByteView target, std::uint64_t at, std::uint64_t size) {
  return target.subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(size));
}

}  // namespace

template <class Coder>
Result<void> ArchiveCoder<Coder>::code(ByteView base, std::uint64_t target_size, ByteView target,
                                       ArchivePlan& plan, const Emit& emit) {
  Position position{.left = target_size};
  position.unpacked_left = 2 * kMaxExpansion * (base.size() + target_size);
  for (std::size_t i = 0; position.left > 0; ++i) {
    ArchivePart decoded;
    ArchivePart& part = Coder::kEncodes ? plan.parts[i] : decoded;
    SEGUE_TRY(code_raw(base, target, part, position, emit));
    if (position.left == 0) break;
    if constexpr (!Coder::kEncodes) part.member.emplace();
    SEGUE_TRY(code_member(base, target, *part.member, position, emit));
    if (!symbols_.coder().ok()) return malformed("it is cut off");
  }
  return {};
}

template <class Coder>
Result<void> ArchiveCoder<Coder>::code_raw(ByteView base, ByteView target, ArchivePart& part,
                                           Position& position, const Emit& emit) {
  part.raw_bytes = symbols_.number(part.raw_bytes, SymbolKind::archive_number, NumberOf::raw_size);
  if (part.raw_bytes > position.left) return malformed("a part beyond the file's end");
  if (part.raw_bytes == 0) return {};
  part.raw.expected_base_at = position.base_end;
  const ByteView wanted =
      Coder::kEncodes ? part_of(target, position.target_at, part.raw_bytes) : ByteView();
  SEGUE_TRY(files_.code(base, part.raw_bytes, wanted, part.raw, emit));
  if (!part.raw.operations.empty()) {
    const Operation& last = part.raw.operations.back();
    position.base_end = last.base_at + last.copied;
  }
  position.target_at += part.raw_bytes;
  position.left -= part.raw_bytes;
  return {};
}

// The first time that settings are used, what they give of a sample is compared.
template <class Coder>
Result<void> ArchiveCoder<Coder>::code_settings(PackSettings& settings) {
  constexpr auto kNumber = SymbolKind::archive_number;
  if (symbols_.flag(settings == last_settings_, kNumber, NumberOf::same_settings)) {
    settings = last_settings_;
  } else {
    settings.codec = static_cast<PackCodec>(
        symbols_.small(static_cast<std::uint32_t>(settings.codec), 1, kNumber, NumberOf::codec));
    settings.level =
        static_cast<std::uint8_t>(symbols_.small(settings.level, 5, kNumber, NumberOf::level));
    settings.detail =
        static_cast<std::uint8_t>(symbols_.small(settings.detail, 4, kNumber, NumberOf::detail));
    if (!is_known(settings)) return malformed("a member packed by unknown settings");
    last_settings_ = settings;
  }
  if (!agreed_.insert(settings).second) return {};
  const auto own = packing_identity(settings);
  if (!own) return cannot_pack(own.error().message());
  std::uint32_t said = 0;
  for (int shift = 0; shift < 32; shift += 8) {
    const auto byte = static_cast<std::uint8_t>(*own >> shift);
    said |= std::uint32_t{symbols_.byte(byte, kNumber, NumberOf::identity)} << shift;
  }
  return said == *own ? Result<void>() : cannot_pack("it makes other bytes");
}

template <class Coder>
Result<Unpacked> ArchiveCoder<Coder>::unpack_base(ByteView base, MemberPlan& member,
                                                  Position& position) {
  Unpacked unpacked;
  member.has_base = symbols_.flag(member.has_base, SymbolKind::archive_number, NumberOf::base_kind);
  if (!member.has_base) return unpacked;
  const std::uint64_t coded = symbols_.number(distance(member.base_at, position.base_end),
                                              SymbolKind::archive_number, NumberOf::base_place);
  member.base_at = position.base_end + static_cast<std::uint64_t>(unzigzag(coded));
  if (member.base_at > base.size()) return malformed("a member beyond the base's end");
  SEGUE_ASSIGN(unpacked, unpack_stream(member.settings.codec,
                                       base.subspan(static_cast<std::size_t>(member.base_at)),
                                       std::min(position.unpacked_left, kMaxMemberBytes)));
  position.unpacked_left -= unpacked.plain.size();
  position.base_end = member.base_at + unpacked.packed_bytes;
  return unpacked;
}

template <class Coder>
Result<void> ArchiveCoder<Coder>::code_member(ByteView base, ByteView target, MemberPlan& member,
                                              Position& position, const Emit& emit) {
  SEGUE_TRY(code_settings(member.settings));
  SEGUE_ASSIGN(const Unpacked unpacked, unpack_base(base, member, position));
  const std::uint64_t like = unpacked.plain.size();
  member.plain_bytes = like + static_cast<std::uint64_t>(unzigzag(symbols_.number(
                                  distance(member.plain_bytes, like), SymbolKind::archive_number,
                                  NumberOf::plain_size, member.has_base)));
  if (member.plain_bytes > kMaxMemberBytes || member.plain_bytes > position.unpacked_left) {
    return malformed("a member is too large");
  }
  position.unpacked_left -= member.plain_bytes;
  member.contents.is_base_in_memory = true;
  return code_contents(unpacked, target, member, position, emit);
}

template <class Coder>
Result<void> ArchiveCoder<Coder>::code_contents(const Unpacked& base, ByteView target,
                                                MemberPlan& member, Position& position,
                                                const Emit& emit) {
  if constexpr (Coder::kEncodes) {
    const ByteView packed = part_of(target, position.target_at, member.packed_bytes);
    SEGUE_ASSIGN(const Unpacked plain,
                 unpack_stream(member.settings.codec, packed, kMaxMemberBytes));
    SEGUE_TRY(files_.code(base.plain, plain.plain.size(), plain.plain, member.contents,
                          [](ByteView) { return Result<void>(); }));
    SEGUE_TRY(emit(packed));
    position.target_at += packed.size();
    position.left -= packed.size();
    return {};
  }
  const auto bounded = [&](ByteView piece) -> Result<void> {
    if (piece.size() > position.left) return malformed("a member beyond the file's end");
    position.left -= piece.size();
    return emit(piece);
  };
  const std::uint64_t left_before = position.left;
  auto packer = Packer::open(member.settings, member.plain_bytes, bounded);
  if (!packer) return cannot_pack(packer.error().message());
  SEGUE_TRY(files_.code(base.plain, member.plain_bytes, {}, member.contents,
                        [&](ByteView piece) { return packer->write(piece); }));
  SEGUE_TRY(packer->finish());
  // So that a file of many members comes to its end.
  if (position.left == left_before) return malformed("a member of no bytes");
  return {};
}

template class ArchiveCoder<RangeEncoder>;
template class ArchiveCoder<RangeDecoder>;

}  // namespace segue::delta
