// SPDX-License-Identifier: Apache-2.0
// A manifest from a mirror. What is accepted is exactly what encode() writes.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "delta/manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace delta = segue::delta;
  const delta::ByteView bytes(data, size);
  const auto manifest = delta::decode_manifest(bytes);
  if (!manifest) return 0;
  const delta::Bytes again = delta::encode(*manifest);
  if (again != delta::Bytes(data, data + size)) abort();
  if (delta::root_of(*manifest) != delta::digest_of(bytes)) abort();
  return 0;
}
