// SPDX-License-Identifier: Apache-2.0
// The control group of one process (cgroups(7)): version 2 where it has the controllers, version 1
// otherwise.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace segue::confine {

// 0: none.
struct GroupLimits {
  std::uint64_t memory_bytes = 0;
  std::uint32_t cpu_millicores = 0;
  std::uint32_t max_processes = 0;

  [[nodiscard]] bool any() const {
    return memory_bytes != 0 || cpu_millicores != 0 || max_processes != 0;
  }
};

// What /proc/self/mountinfo says of control groups, and the controllers that version 2 has.
struct GroupHost {
  struct Version1 {
    std::string controllers;  // "cpu,cpuacct"
    std::string path;
  };
  std::string version2;              // where it is mounted; empty: it is not
  std::string version2_controllers;  // "cpuset cpu io memory pids"
  std::vector<Version1> version1;
};
GroupHost group_host_of(std::string_view mountinfo);

// One after the other: a directory is made (it may be there), or text is written into a file.
struct GroupStep {
  enum class Kind { make, write };
  Kind kind = Kind::make;
  std::string path;
  std::string text;

  bool operator==(const GroupStep&) const = default;
};
// Pure. Groups are SEGUE/NAME-PID below each root. failed_precondition: which limit this host
// cannot keep, and what it lacks.
base::Result<std::vector<GroupStep>> plan_group(const GroupHost& host, const GroupLimits& limits,
                                                const std::string& name, pid_t pid);

// ---- On this host

base::Result<GroupHost> this_group_host();
// Whether plan_group() can be done, as far as can be told without doing it.
base::Result<void> check_group(const GroupLimits& limits, const std::string& name);
// This process, and what it becomes, is in a group of its own from now on. Groups of processes that
// have ended go.
base::Result<void> enter_group(const GroupLimits& limits, const std::string& name);

}  // namespace segue::confine
