// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "tree/beneath.h"

namespace segue::staging {

// The stamps of a tree's entries as a file. They only save reading: whoever has none reads all.
std::string encode_stamps(const std::vector<tree::FileStamp>& stamps);
// data_loss: not what encode_stamps() writes, or damaged.
base::Result<std::vector<tree::FileStamp>> decode_stamps(std::string_view bytes);

inline constexpr std::size_t kMaxStampsBytes = std::size_t{256} << 20;

}  // namespace segue::staging
