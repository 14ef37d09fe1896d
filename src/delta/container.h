// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/error.h"
#include "delta/delta.h"

namespace segue::delta {

// The second has a flag before each file that tells whether it is in parts (archive_coder.h). It is
// written only where there are such files.
inline constexpr std::uint8_t kPlainVersion = 1;
inline constexpr std::uint8_t kArchiveVersion = 2;

// A delta's parts, borrowed from it.
struct Container {
  std::uint8_t version = kPlainVersion;
  DeltaHeader header;
  ByteView modelled;  // manifest, operations, residuals, literals: one arithmetic code
  ByteView frames;    // those of single files, one behind the other
  ByteView bulk;
};

Bytes pack(const DeltaHeader& header, std::uint8_t version, ByteView modelled, ByteView frames,
           ByteView bulk);
base::Result<Container> unpack(ByteView delta);

}  // namespace segue::delta
