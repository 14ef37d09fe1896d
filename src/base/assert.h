// SPDX-License-Identifier: Apache-2.0
#pragma once

// For invariants only: what this states is true unless Segue itself is wrong. It holds in every
// build. Whatever a peer, a file or a person can get wrong is an Error instead.
#define SEGUE_ASSERT(condition)                        \
  (static_cast<bool>(condition) ? static_cast<void>(0) \
                                : ::segue::base::assertion_failed(#condition, __FILE__, __LINE__))

namespace segue::base {

[[noreturn]] void assertion_failed(const char* condition, const char* file, int line);

}  // namespace segue::base
