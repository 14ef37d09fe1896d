// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "base/assert.h"
#include "delta/manifest.h"

namespace segue::delta {

namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::array<std::uint8_t, 8> kMagic = {'S', 'E', 'G', 'T', 'R', 'E', 'E', 1};

// Which of an entry's fields follow.
constexpr unsigned kTypeMask = 0x03;
constexpr unsigned kHasAttributes = 0x04;
constexpr unsigned kHasHoles = 0x08;
constexpr unsigned kFlagsMask = 0x0f;

void append_text(Bytes& out, std::string_view text) {
  append_varint(out, text.size());
  out.insert(out.end(), text.begin(), text.end());
}

std::size_t shared_prefix(std::string_view left, std::string_view right) {
  const auto stop = std::mismatch(left.begin(), left.end(), right.begin(), right.end()).first;
  return static_cast<std::size_t>(stop - left.begin());
}

void append_entry(Bytes& out, const Entry& entry, std::string_view previous) {
  const std::size_t shared = shared_prefix(previous, entry.path);
  append_varint(out, shared);
  append_text(out, std::string_view(entry.path).substr(shared));
  unsigned flags = static_cast<unsigned>(entry.type);
  if (!entry.attributes.empty()) flags |= kHasAttributes;
  if (!entry.holes.empty()) flags |= kHasHoles;
  out.push_back(static_cast<std::uint8_t>(flags));
  if (entry.type == EntryType::hard_link) return append_varint(out, entry.linked_entry);

  append_varint(out, entry.mode);
  if (entry.type == EntryType::symlink) append_text(out, entry.link_target);
  if (entry.type == EntryType::regular) {
    append_varint(out, entry.size_bytes);
    out.insert(out.end(), entry.content.bytes.begin(), entry.content.bytes.end());
  }
  if ((flags & kHasAttributes) != 0) {
    append_varint(out, entry.attributes.size());
    for (const ExtendedAttribute& attribute : entry.attributes) {
      append_text(out, attribute.name);
      append_text(out, attribute.value);
    }
  }
  if ((flags & kHasHoles) != 0) {
    append_varint(out, entry.holes.size());
    for (const Hole& hole : entry.holes) {
      append_varint(out, hole.offset_bytes);
      append_varint(out, hole.size_bytes);
    }
  }
}

// Calls emit with pieces of the encoding, none much larger than kPieceBytes.
template <class Emit>
void encode_pieces(const Manifest& manifest, Emit emit) {
  constexpr std::size_t kPieceBytes = 64 * 1024;
  Bytes piece(kMagic.begin(), kMagic.end());
  append_varint(piece, manifest.entries.size());
  std::string_view previous;
  for (const Entry& entry : manifest.entries) {
    append_entry(piece, entry, previous);
    previous = entry.path;
    if (piece.size() >= kPieceBytes) {
      emit(piece);
      piece.clear();
    }
  }
  emit(piece);
}

std::string read_text(ByteReader& reader, std::uint64_t max_bytes) {
  const std::uint64_t size = reader.varint();
  if (size > max_bytes) reader.fail();
  return std::string(text_of(reader.take(size)));
}

void read_attributes(ByteReader& reader, Entry& entry) {
  const std::uint64_t count = reader.varint();
  if (count == 0 || count > kMaxAttributes) return reader.fail();
  for (std::uint64_t i = 0; i < count && reader.ok(); ++i) {
    ExtendedAttribute attribute;
    attribute.name = read_text(reader, kMaxNameBytes);
    attribute.value = read_text(reader, kMaxAttributeBytes);
    entry.attributes.push_back(std::move(attribute));
  }
}

void read_holes(ByteReader& reader, Entry& entry) {
  const std::uint64_t count = reader.varint();
  if (count == 0 || count > kMaxHoles) return reader.fail();
  for (std::uint64_t i = 0; i < count && reader.ok(); ++i) {
    const std::uint64_t offset = reader.varint();
    entry.holes.push_back({offset, reader.varint()});
  }
}

Entry read_entry(ByteReader& reader, std::string_view previous) {
  Entry entry;
  const std::uint64_t shared = reader.varint();
  if (shared > previous.size()) reader.fail();
  if (reader.ok()) entry.path = previous.substr(0, static_cast<std::size_t>(shared));
  entry.path += read_text(reader, kMaxPathBytes);
  if (shared_prefix(previous, entry.path) != shared) reader.fail();
  const unsigned flags = reader.byte();
  if ((flags & ~kFlagsMask) != 0) reader.fail();
  entry.type = static_cast<EntryType>(flags & kTypeMask);
  if (entry.type == EntryType::hard_link) {
    const std::uint64_t linked = reader.varint();
    if (linked >= kMaxEntries || (flags & ~kTypeMask) != 0) reader.fail();
    entry.linked_entry = static_cast<std::uint32_t>(linked);
    return entry;
  }
  const std::uint64_t mode = reader.varint();
  if (mode > 07777) reader.fail();
  entry.mode = static_cast<std::uint16_t>(mode);
  if (entry.type == EntryType::symlink) entry.link_target = read_text(reader, kMaxPathBytes);
  if (entry.type == EntryType::regular) {
    entry.size_bytes = reader.varint();
    const ByteView content = reader.take(Digest::kBytes);
    std::copy(content.begin(), content.end(), entry.content.bytes.begin());
  }
  if ((flags & kHasAttributes) != 0) read_attributes(reader, entry);
  if ((flags & kHasHoles) != 0) read_holes(reader, entry);
  return entry;
}

}  // namespace

Bytes encode(const Manifest& manifest) {
  SEGUE_ASSERT(check(manifest).has_value());
  Bytes bytes;
  encode_pieces(manifest,
                [&](const Bytes& piece) { bytes.insert(bytes.end(), piece.begin(), piece.end()); });
  return bytes;
}

Digest root_of(const Manifest& manifest) {
  Hasher hasher;
  encode_pieces(manifest, [&](const Bytes& piece) { hasher.add(piece); });
  return hasher.finish();
}

Result<Manifest> decode_manifest(ByteView bytes) {
  if (bytes.size() > kMaxManifestBytes) {
    return fail(ErrorCode::data_loss, "a manifest of {} bytes: at most {} are allowed",
                bytes.size(), kMaxManifestBytes);
  }
  ByteReader reader(bytes);
  if (!std::ranges::equal(reader.take(kMagic.size()), kMagic)) {
    return fail(ErrorCode::data_loss, "not a manifest of version 1");
  }
  const std::uint64_t count = reader.varint();
  // The shortest entry has six bytes, so that a count cannot ask for more memory than came in.
  if (!reader.ok() || count > kMaxEntries || count > bytes.size() / 4) {
    return fail(ErrorCode::data_loss, "the manifest names {} entries, which it cannot hold", count);
  }
  Manifest manifest;
  manifest.entries.reserve(static_cast<std::size_t>(count));
  for (std::uint64_t i = 0; i < count && reader.ok(); ++i) {
    const std::string_view previous =
        manifest.entries.empty() ? std::string_view() : manifest.entries.back().path;
    manifest.entries.push_back(read_entry(reader, previous));
  }
  if (!reader.ok() || !reader.at_end()) {
    return fail(ErrorCode::data_loss, "the manifest is cut off or malformed at entry {}",
                manifest.entries.size());
  }
  if (auto checked = check(manifest); !checked) {
    return fail(ErrorCode::data_loss, "{}", checked.error().message());
  }
  return manifest;
}

}  // namespace segue::delta
