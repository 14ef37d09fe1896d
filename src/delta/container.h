// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/error.h"
#include "delta/delta.h"

namespace segue::delta {

// A delta's parts, borrowed from it.
struct Container {
  DeltaHeader header;
  ByteView modelled;  // manifest, operations, residuals, literals: one arithmetic code
  ByteView frames;    // those of single files, one behind the other
  ByteView bulk;
};

Bytes pack(const DeltaHeader& header, ByteView modelled, ByteView frames, ByteView bulk);
base::Result<Container> unpack(ByteView delta);

}  // namespace segue::delta
