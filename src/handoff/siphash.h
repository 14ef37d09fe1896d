// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

namespace segue::handoff {

// SipHash-2-4 (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012).
uint64_t siphash24(std::string_view bytes, uint64_t key0 = 0, uint64_t key1 = 0);

}  // namespace segue::handoff
