// SPDX-License-Identifier: Apache-2.0
// Whether the kernel killed a process of a container because its memory limit was reached. Docker
// says so itself; Podman says false, and on version 1 of the control groups the kernel has to be
// asked while the container runs.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "os/unique_fd.h"

namespace segue::runtime {

// The path of a process's memory group, from its /proc/PID/cgroup; nullopt: it has none of
// version 1. Pure.
std::optional<std::string> memory_group_of(std::string_view proc_cgroup);

// The value of "oom_kill" in memory.oom_control; nullopt: it is not there. Pure.
std::optional<std::uint64_t> oom_kills_in(std::string_view oom_control);

class MemoryWatch {
 public:
  // `pid` is a process of the container, in the host's namespace. failed_precondition: it is in no
  // memory group of version 1: ask the engine. not_found: it has ended.
  static base::Result<MemoryWatch> create(pid_t pid);

  // Readable when the limit was reached or the group has gone.
  [[nodiscard]] int fd() const { return event_.get(); }
  // Whether a process of it has been killed so far: also after the container has gone.
  [[nodiscard]] bool was_out_of_memory();

 private:
  MemoryWatch(os::UniqueFd control, os::UniqueFd event)
      : control_(std::move(control)), event_(std::move(event)) {}

  os::UniqueFd control_;  // memory.oom_control
  os::UniqueFd event_;
  std::uint64_t events_ = 0;
  bool was_killed_ = false;
};

}  // namespace segue::runtime
