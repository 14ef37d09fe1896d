// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "delta/archive_coder.h"
#include "delta/file_plan.h"

namespace segue::delta {

// Larger files stay as they are: all that is not unpacked is matched in one piece.
inline constexpr std::uint64_t kMaxArchiveBytes = kMaxMatchBytes;

// The parts of `target` when members of it differ from the base's and packing them again gives
// exactly their bytes; else nothing. A member's base is that of the same name, else the most
// similar one.
std::optional<ArchivePlan> plan_archive(ByteView base, ByteView target, Framer& framer);

}  // namespace segue::delta
