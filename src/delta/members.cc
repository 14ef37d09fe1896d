// SPDX-License-Identifier: Apache-2.0
#include "delta/members.h"

#include <algorithm>
#include <optional>

namespace segue::delta {

namespace {

constexpr std::uint32_t kZipSignature = 0x04034b50;
constexpr std::size_t kZipHeaderBytes = 30;
constexpr std::uint32_t kZstdMagic = 0xfd2fb528;
constexpr std::size_t kGzipHeaderBytes = 10;
// Of RFC 1952, 2.3.1.
constexpr std::uint8_t kGzipHasChecksum = 2;
constexpr std::uint8_t kGzipHasExtra = 4;
constexpr std::uint8_t kGzipHasName = 8;
constexpr std::uint8_t kGzipHasComment = 16;

std::uint32_t load_u16(const std::uint8_t* at) {
  return std::uint32_t{at[0]} | std::uint32_t{at[1]} << 8;
}

// Where a payload may begin, by what stands at the begin of `file`.
struct Payload {
  PackCodec codec = PackCodec::deflate;
  std::size_t at = 0;
  std::string_view name;
};

std::optional<Payload> zip_payload(ByteView file) {
  constexpr std::uint32_t kDeflated = 8;
  constexpr std::uint32_t kEncrypted = 1;
  if (file.size() < kZipHeaderBytes || load_u32(file.data()) != kZipSignature) return std::nullopt;
  if (load_u16(file.data() + 8) != kDeflated) return std::nullopt;
  if ((load_u16(file.data() + 6) & kEncrypted) != 0) return std::nullopt;
  const std::size_t name_bytes = load_u16(file.data() + 26);
  const std::size_t at = kZipHeaderBytes + name_bytes + load_u16(file.data() + 28);
  if (at >= file.size()) return std::nullopt;
  return Payload{PackCodec::deflate, at, text_of(file.subspan(kZipHeaderBytes, name_bytes))};
}

std::optional<Payload> gzip_payload(ByteView file) {
  if (file.size() < kGzipHeaderBytes || file[0] != 0x1f || file[1] != 0x8b || file[2] != 8 ||
      (file[3] & 0xe0) != 0) {
    return std::nullopt;
  }
  const std::uint8_t flags = file[3];
  std::size_t at = kGzipHeaderBytes;
  if ((flags & kGzipHasExtra) != 0) {
    if (at + 2 > file.size()) return std::nullopt;
    at += 2 + load_u16(file.data() + at);
  }
  Payload payload;
  for (const std::uint8_t text : {kGzipHasName, kGzipHasComment}) {
    if ((flags & text) == 0) continue;
    if (at >= file.size()) return std::nullopt;
    const ByteView rest = file.subspan(at);
    const auto end = std::find(rest.begin(), rest.end(), std::uint8_t{0});
    if (end == rest.end()) return std::nullopt;
    const auto size = static_cast<std::size_t>(end - rest.begin());
    if (text == kGzipHasName) payload.name = text_of(rest.first(size));
    at += size + 1;
  }
  if ((flags & kGzipHasChecksum) != 0) at += 2;
  if (at >= file.size()) return std::nullopt;
  payload.at = at;
  return payload;
}

std::optional<Payload> payload_of(ByteView file) {
  switch (file[0]) {
    case 'P':
      return zip_payload(file);
    case 0x1f:
      return gzip_payload(file);
    case 0x28:
      if (file.size() > 8 && load_u32(file.data()) == kZstdMagic) {
        return Payload{PackCodec::zstd, 0, {}};
      }
      return std::nullopt;
    default:
      return std::nullopt;
  }
}

}  // namespace

std::vector<Member> find_members(ByteView file) {
  std::vector<Member> members;
  std::uint64_t plain_left = kMaxExpansion * file.size();
  for (std::size_t at = 0; at < file.size() && members.size() < kMaxMembers;) {
    const auto payload = payload_of(file.subspan(at));
    if (!payload) {
      ++at;
      continue;
    }
    const ByteView packed = file.subspan(at + payload->at);
    const auto found = unpack_stream(payload->codec, packed, std::min(plain_left, kMaxMemberBytes));
    const bool is_taken = found && !found->plain.empty() &&
                          found->plain.size() <= kMaxExpansion * found->packed_bytes;
    if (!is_taken) {
      // What is too large was unpacked in vain: that is bounded as well.
      if (!found && found.error().code() == base::ErrorCode::resource_exhausted) {
        plain_left -= std::min(plain_left, kMaxMemberBytes);
      }
      ++at;
      continue;
    }
    plain_left -= found->plain.size();
    members.push_back({payload->codec, at + payload->at, found->packed_bytes, found->plain.size(),
                       payload->name});
    at += payload->at + static_cast<std::size_t>(found->packed_bytes);
  }
  return members;
}

}  // namespace segue::delta
