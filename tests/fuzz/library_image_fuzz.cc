// SPDX-License-Identifier: Apache-2.0
// What a tree that says it is an image may hold, and archives that somebody publishes. The pieces
// of an archive are all of it, whatever it is.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "library/image_format.h"
#include "library/tar_layout.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace library = segue::library;
  namespace delta = segue::delta;
  const delta::ByteView bytes(data, size);
  if (const auto skeleton = library::decode_skeleton(bytes)) {
    if (library::encode_skeleton(*skeleton) != delta::Bytes(data, data + size)) abort();
  }
  (void)library::parse_image(delta::text_of(bytes));
  const auto pieces = library::tar_layout(
      [&](std::uint64_t offset, std::size_t count) -> segue::base::Result<delta::Bytes> {
        if (offset > size || count > size - offset) abort();
        return delta::Bytes(data + offset, data + offset + count);
      },
      size);
  if (!pieces) abort();
  std::uint64_t at = 0;
  for (const auto& piece : *pieces) {
    if (piece.offset_bytes != at || piece.size_bytes == 0) abort();
    at += piece.size_bytes;
  }
  if (at != size) abort();
  return 0;
}
