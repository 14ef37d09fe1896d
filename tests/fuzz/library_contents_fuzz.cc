// SPDX-License-Identifier: Apache-2.0
// The contents of a release from a mirror. What is accepted is exactly what encode_contents()
// writes.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "library/contents.h"
#include "library/frame.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace library = segue::library;
  constexpr std::uint64_t kMaxBytes = 1 << 20;
  const segue::delta::ByteView bytes(data, size);
  if (const auto unpacked = library::decompress_frame(bytes, kMaxBytes)) {
    if (unpacked->size() > kMaxBytes) abort();
    (void)library::decode_contents(*unpacked);
  }
  const auto contents = library::decode_contents(bytes);
  if (!contents) return 0;
  if (library::encode_contents(*contents) != segue::delta::Bytes(data, data + size)) abort();
  return 0;
}
