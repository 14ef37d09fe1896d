// SPDX-License-Identifier: Apache-2.0
#include "delta/container.h"

#include <algorithm>
#include <array>

namespace segue::delta {

namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::array<std::uint8_t, 4> kMagic = {'S', 'E', 'G', 'D'};

void append(Bytes& out, ByteView bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

Digest read_digest(ByteReader& reader) {
  Digest digest;
  std::ranges::copy(reader.take(Digest::kBytes), digest.bytes.begin());
  return digest;
}

}  // namespace

Bytes pack(const DeltaHeader& header, std::uint8_t version, ByteView modelled, ByteView frames,
           ByteView bulk) {
  Bytes out(kMagic.begin(), kMagic.end());
  out.push_back(version);
  append(out, header.base_root.bytes);
  append(out, header.target_root.bytes);
  append_varint(out, modelled.size());
  append_varint(out, frames.size());
  append(out, modelled);
  append(out, frames);
  append(out, bulk);
  return out;
}

Result<Container> unpack(ByteView delta) {
  if (delta.size() > kMaxDeltaBytes) {
    return fail(ErrorCode::data_loss, "a delta of {} bytes: at most {} are allowed", delta.size(),
                kMaxDeltaBytes);
  }
  ByteReader reader(delta);
  if (!std::ranges::equal(reader.take(kMagic.size()), kMagic)) {
    return fail(ErrorCode::data_loss, "not a delta");
  }
  Container container;
  container.version = reader.byte();
  if (container.version < kPlainVersion || container.version > kArchiveVersion) {
    return fail(ErrorCode::data_loss, "a delta of version {}: this program reads versions {} to {}",
                container.version, kPlainVersion, kArchiveVersion);
  }
  container.header.base_root = read_digest(reader);
  container.header.target_root = read_digest(reader);
  const std::uint64_t modelled = reader.varint();
  const std::uint64_t frames = reader.varint();
  container.modelled = reader.take(modelled);
  container.frames = reader.take(frames);
  container.bulk = reader.rest();
  if (!reader.ok()) return fail(ErrorCode::data_loss, "the delta is cut off");
  return container;
}

Result<DeltaHeader> read_header(ByteView delta) {
  SEGUE_ASSIGN(const Container container, unpack(delta));
  return container.header;
}

}  // namespace segue::delta
