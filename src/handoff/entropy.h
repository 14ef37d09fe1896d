// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace segue::handoff {

inline constexpr size_t kNonceBytes = 32;

// kNonceBytes from the kernel's generator.
std::string make_nonce();

}  // namespace segue::handoff
