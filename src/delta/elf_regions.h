// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "delta/bytes.h"
#include "delta/regions.h"

namespace segue::delta {

// Two builds of a program and where their addresses stand.
struct ProgramPair {
  std::vector<Region> regions;         // as they are coded; empty: not two such programs
  std::vector<Region> target_regions;  // the same of the target alone, as if it were the base
};

// Regions of two ELF files for x86-64 (System V ABI), paired by section name, by base address.
// Any bytes may be given. For the side that makes deltas.
ProgramPair pair_elf_programs(ByteView base, ByteView target);

// The file with each field replaced by what its address points at, so that two places that differ
// only in addresses look the same.
Bytes with_labels(ByteView file, const std::vector<Region>& regions,
                  const std::vector<Field>& fields);

}  // namespace segue::delta
