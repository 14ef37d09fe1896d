// SPDX-License-Identifier: Apache-2.0
// The processes below one, as /proc shows them at one time.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"

namespace segue::os {

struct TreeProcess {
  pid_t pid = -1;
  pid_t parent = -1;
  std::uint64_t start_ticks = 0;
  bool is_zombie = false;
  std::uint64_t memory_bytes = 0;  // resident and its own: no file's, none that it shares
};

// Orphans of this process's descendants become its children instead of init's (prctl(2),
// PR_SET_CHILD_SUBREAPER), so that no descendant leaves its tree.
base::Result<void> adopt_orphans();

// All descendants of `root`, but for the children in `except` and what is below those.
base::Result<std::vector<TreeProcess>> processes_below(pid_t root, const std::set<pid_t>& except);

// Those that were started with this variable, NAME=value, and did not change it. Only those whose
// environment this process may read.
base::Result<std::vector<TreeProcess>> processes_with_variable(const std::string& variable);

// SIGKILL to just this process: not to another one that has its number by now. A zombie that is a
// child of this process is reaped instead.
void kill_or_reap(const TreeProcess& process);

}  // namespace segue::os
