// SPDX-License-Identifier: Apache-2.0
// The delta between two trees that a library holds.
#pragma once

#include <functional>
#include <string>
#include <utility>

#include "base/error.h"
#include "library/library.h"

namespace segue::library {

// Of the bytes of changed files, how many more were read; each is read about twice.
using PairProgress = std::function<void(std::uint64_t bytes)>;

// The delta, and what it is made of; the digest in the report is that of the bytes. Memory: as
// delta::make_delta() says. Any number at once for one target.
base::Result<std::pair<delta::Bytes, PairReport>> compute_pair(const delta::Manifest& base,
                                                               delta::TreeReader& base_files,
                                                               const delta::Manifest& target,
                                                               delta::TreeReader& target_files,
                                                               const PairProgress& progress);

// What compute_pair() tells its progress at the end, nearly.
std::uint64_t pair_work_bytes(const delta::Manifest& base, const delta::Manifest& target);

}  // namespace segue::library
