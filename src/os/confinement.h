// SPDX-License-Identifier: Apache-2.0
// Rights that this thread, and what it starts, give up for good. What the kernel cannot do is left
// out; what it can and does not do is an error.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"

namespace segue::os {

struct FileRules {
  std::vector<std::string> readable;  // files, and directories with all that is below
  std::vector<std::string> writable;  // directories: files and directories are made and written
  std::vector<std::string> owned;     // directories: removed and renamed, too
  bool may_connect = false;           // by TCP; it listens nowhere
};
// Nothing else can be opened, and nothing executed. Landlock, Linux 5.13; of TCP from 6.7 on.
base::Result<void> confine_files(const FileRules& rules);

// A system call that is allowed, perhaps with some arguments alone. Of those the low 32 bits count.
struct CallRule {
  int call = 0;
  int argument = 0;                   // counted from 0; what it has to be:
  std::uint32_t forbidden_bits = 0;   // none of them
  std::uint32_t required_bits = 0;    // all of them
  std::vector<std::uint32_t> one_of;  // not empty: one of them
};
enum class Otherwise {
  kill,    // the process, with SIGSYS
  refuse,  // ENOSYS for calls, EPERM for arguments
};
// On x86-64 and arm64 (seccomp(2)). Of two rules for a call the first counts.
base::Result<void> confine_system_calls(const std::vector<CallRule>& rules, Otherwise otherwise);
// Mapping memory and changing what it is for, if no memory becomes executable.
std::vector<CallRule> memory_call_rules();

}  // namespace segue::os
