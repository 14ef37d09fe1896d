// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/error.h"
#include "delta/manifest.h"

namespace segue::tree {

struct ScanOptions {
  unsigned threads = 0;  // that read files; 0: one per processor, at most 4
};

struct ScanProgress {
  std::uint64_t files_done = 0;
  std::uint64_t files = 0;
  std::uint64_t bytes_done = 0;
  std::uint64_t bytes = 0;
};
// Called in the caller's thread, about every 8 MiB and at the end. Nothing: not called.
using Progress = std::function<void(const ScanProgress&)>;

// The tree in `directory` as a value: names, types, modes, symlinks (never followed), hard links
// within the tree, holes, contents, and the attributes that is_kept() names. Owners and times are
// not part of it.
//
// invalid_argument names a device, socket or fifo; aborted names a file or directory that changed
// while it was read; failed_precondition something that is mounted inside; permission_denied what
// this process cannot read.
base::Result<delta::Manifest> scan_tree(const std::string& directory,
                                        const ScanOptions& options = {},
                                        const Progress& progress = {});

}  // namespace segue::tree
