// SPDX-License-Identifier: Apache-2.0
// Work on bytes that came over a line, in a process that can do little else: where a parser of them
// is wrong, nothing but the new tree is at risk, and that is verified afterwards.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/error.h"

namespace segue::staging {

struct SandboxRules {
  std::vector<std::string> readable;   // directories and files
  std::vector<std::string> writable;   // directories
  std::uint64_t max_file_bytes = 0;    // of each file that it writes
  std::uint64_t max_memory_bytes = 0;  // that it writes to; mapped files do not count
  std::uint64_t max_cpu_s = 0;
};

// Tells how many bytes were made, from inside.
using MadeBytes = std::function<void(std::uint64_t bytes)>;
using SandboxedWork = std::function<base::Result<void>(const MadeBytes& made)>;

// Runs `work` in a forked process and waits for it; its error is the outcome. The process dies with
// this one, and has none of its descriptors. It may only read, map, write, and make files and
// directories, where the rules say so (Landlock, from Linux 5.13 on; system calls by seccomp on
// x86-64 and arm64); it has no network and starts nothing. data_loss: a mapped file could not be
// read (SIGBUS). aborted: it took more time or memory than it may. internal: it did what it may
// not, or crashed; then what it made is not to be trusted.
//
// Not to be called while another thread of this process holds a lock that `work` takes.
base::Result<void> run_sandboxed(const SandboxRules& rules, const SandboxedWork& work,
                                 const MadeBytes& on_made = {});

}  // namespace segue::staging
