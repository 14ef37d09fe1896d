// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "delta/packing.h"

// Archives in memory, for tests.
namespace segue::delta {

inline Bytes packed(const PackSettings& settings, ByteView plain) {
  Bytes bytes;
  auto packer = Packer::open(settings, plain.size(), [&](ByteView piece) {
    bytes.insert(bytes.end(), piece.begin(), piece.end());
    return base::Result<void>();
  });
  if (!packer || !packer->write(plain) || !packer->finish()) return {};
  return bytes;
}

namespace samples {

inline void append(Bytes& bytes, ByteView more) {
  bytes.insert(bytes.end(), more.begin(), more.end());
}
inline void append_number(Bytes& bytes, std::uint64_t value, int size) {
  for (int i = 0; i < size; ++i) bytes.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
}
// Stands for a CRC: differs with the content.
inline std::uint32_t mark_of(ByteView plain) {
  std::uint32_t mark = 1;
  for (const std::uint8_t byte : plain) mark = mark * 16777619 ^ byte;
  return mark;
}

}  // namespace samples

// A zip archive; members named *.zip are stored, the others deflated.
inline Bytes zip_of(const std::map<std::string, Bytes>& members, const PackSettings& settings) {
  Bytes archive;
  Bytes index;
  for (const auto& [name, plain] : members) {
    const bool is_stored = name.ends_with(".zip");
    const Bytes payload = is_stored ? plain : packed(settings, plain);
    Bytes header;
    samples::append_number(header, 20, 2);
    samples::append_number(header, 0, 2);
    samples::append_number(header, is_stored ? 0 : 8, 2);
    samples::append_number(header, 0x5a210000, 4);
    samples::append_number(header, samples::mark_of(plain), 4);
    samples::append_number(header, payload.size(), 4);
    samples::append_number(header, plain.size(), 4);
    samples::append_number(header, name.size(), 2);
    samples::append_number(header, 0, 2);
    samples::append(index, view_of("PK\1\2"));
    samples::append_number(index, 20, 2);
    samples::append(index, header);
    samples::append_number(index, 0, 2);
    samples::append_number(index, 0, 8);
    samples::append_number(index, archive.size(), 4);
    samples::append(index, view_of(name));
    samples::append(archive, view_of("PK\3\4"));
    samples::append(archive, header);
    samples::append(archive, view_of(name));
    samples::append(archive, payload);
  }
  const std::size_t index_at = archive.size();
  samples::append(archive, index);
  samples::append(archive, view_of("PK\5\6"));
  samples::append_number(archive, 0, 4);
  samples::append_number(archive, members.size(), 2);
  samples::append_number(archive, members.size(), 2);
  samples::append_number(archive, index.size(), 4);
  samples::append_number(archive, index_at, 4);
  samples::append_number(archive, 0, 2);
  return archive;
}

inline Bytes gzip_of(ByteView plain, const PackSettings& settings) {
  Bytes file = {0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 2, 3, 'a', 0};
  samples::append(file, packed(settings, plain));
  samples::append_number(file, samples::mark_of(plain), 4);
  samples::append_number(file, plain.size(), 4);
  return file;
}

}  // namespace segue::delta
