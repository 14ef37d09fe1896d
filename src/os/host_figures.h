// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

// What /proc and /sys say about memory and load (proc(5), cgroups(7), cgroup v1 and v2).
namespace segue::os {

struct ProcessMemory {
  std::uint64_t anonymous_bytes = 0;  // its own: heap and stacks
  std::uint64_t file_bytes = 0;       // programs and libraries, shared with everybody
  std::uint64_t shared_bytes = 0;     // memfds, such as arenas: shared with whoever maps them
};
base::Result<ProcessMemory> process_memory(pid_t pid);

struct HostMemory {
  std::uint64_t available_bytes = 0;               // without swapping
  std::optional<std::uint64_t> cgroup_room_bytes;  // until the nearest limit of this process's
                                                   // cgroups; empty: no limit
};
base::Result<HostMemory> host_memory();

struct HostLoad {
  double runnable = 0;  // processes that wanted a CPU, the mean of one minute
  std::uint32_t cpus = 1;
};
base::Result<HostLoad> host_load();

// ---- The parsers alone, for tests. `file` gives the contents of a path, or nothing.
using ReadText = std::function<std::optional<std::string>(const std::string& path)>;

// "Name:   123 kB" in /proc/meminfo or /proc/PID/status, in bytes.
std::optional<std::uint64_t> kib_line(std::string_view text, std::string_view name);
// The least room on the way from this process's memory cgroup up to the root.
std::optional<std::uint64_t> cgroup_room(const ReadText& file);

}  // namespace segue::os
