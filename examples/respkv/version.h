// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "entry.h"

namespace respkv {

// The program's version is that of the entries it keeps.
inline constexpr std::uint32_t kVersion = Entry::kFormVersion;

// The version of Redis whose commands are spoken.
inline constexpr std::string_view kRedisVersion = "7.0.0";

}  // namespace respkv
