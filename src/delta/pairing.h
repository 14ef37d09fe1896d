// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "base/error.h"
#include "delta/delta.h"
#include "delta/tree_coder.h"

namespace segue::delta {

// Where the content of each entry of the target comes from: the same content wherever the base or
// the target has it; else the most similar file of the base, whatever its path.
base::Result<std::vector<ContentSource>> pair_files(const Manifest& base, TreeReader& base_files,
                                                    const Manifest& target,
                                                    TreeReader& target_files);

// The smallest hashes of what stands at places chosen by content: two files have as many in common
// as they are similar (Broder 1997).
inline constexpr std::size_t kSketchHashes = 32;
std::vector<std::uint32_t> sketch_of(ByteView bytes);

}  // namespace segue::delta
