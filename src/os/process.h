// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "os/unique_fd.h"

namespace segue::os {

struct InheritedFd {
  int source;  // in this process; borrowed
  int target;  // its number in the child
};

struct ResourceLimit {
  std::uint64_t soft = 0;
  std::uint64_t hard = 0;
};

struct SpawnOptions {
  std::vector<std::string> argv;  // argv[0] is looked for in PATH unless it has a '/'
  std::vector<std::string> env;   // the whole environment, as NAME=value
  std::string cwd;                // empty: this process's
  // Besides these the child has only this process's 0, 1 and 2. A source may be any other's target.
  std::vector<InheritedFd> fds;
  // The kernel kills it when the thread that called spawn() ends, however that happens (prctl(2),
  // PR_SET_PDEATHSIG); programs with set-user-ID bits are exempt.
  bool ends_with_parent = false;
  // Names of variables that hold the child's own pid, as LISTEN_PID of sd_listen_fds(3).
  std::vector<std::string> pid_variables;
  // Its own RLIMIT_*, and those of what it starts.
  std::vector<std::pair<int, ResourceLimit>> limits;
};

struct Child {
  pid_t pid = -1;
  UniqueFd pidfd;  // readable once the child has ended
};

// Starts a child in a process group of its own, with no signal blocked and every disposition at its
// default. When this returns the program runs: a failed exec is an error here, and leaves no child.
base::Result<Child> spawn(const SpawnOptions& options);

// This process becomes another program: it keeps its pid, its children, and of its descriptors 0,
// 1, 2 and `kept`. Returns only if that fails; then nothing has changed. Only with one thread.
base::Error replace_process(const std::vector<std::string>& argv,
                            const std::vector<std::string>& env, const std::vector<int>& kept);

struct ExitStatus {
  int exit_code = 0;
  int signal = 0;  // not 0: killed by it

  [[nodiscard]] bool success() const { return exit_code == 0 && signal == 0; }
  // "exited with 3", "was killed by signal 9 (Killed)"
  [[nodiscard]] std::string to_string() const;
  friend bool operator==(const ExitStatus&, const ExitStatus&) = default;
};

// Reaps the child if it has ended within `max_wait`; nullopt: it still runs.
base::Result<std::optional<ExitStatus>> wait_for_exit(const UniqueFd& pidfd,
                                                      base::Duration max_wait);

// Goes on as a child in a session of its own, which no terminal controls; the process that called
// ends with 0. Only before any thread was started.
base::Result<void> detach_from_terminal();

// How a process ended that need not be a child, once its parent has seen it; `max_wait` is for the
// parent. nullopt: it runs, nobody has waited for it, or this kernel does not tell (before Linux
// 6.15).
std::optional<ExitStatus> exit_of(const UniqueFd& pidfd, base::Duration max_wait);

// A process by its pid that need not be a child. Look at its start time to know that it is the one
// meant, as pids are used again.
base::Result<UniqueFd> open_process(pid_t pid);

// To the process the pidfd was made for and to no other; not_found when it has ended.
base::Result<void> send_signal(const UniqueFd& pidfd, int signal);

// Clock ticks since boot; with the pid it names a process until the next boot.
base::Result<std::uint64_t> start_time_ticks(pid_t pid);

// Another one after each boot; empty where /proc is missing.
std::string boot_id();

enum class Priority {
  normal,
  idle,  // SCHED_IDLE: runs when nothing else wants to
};
// For all threads of the process. Everybody may go down to idle; the way back needs CAP_SYS_NICE or
// an RLIMIT_NICE of 20 (sched(7)), and is permission_denied otherwise.
base::Result<void> set_priority(pid_t pid, Priority priority);

// `resource` is one of RLIMIT_*; pid 0 is this process.
base::Result<ResourceLimit> resource_limit(pid_t pid, int resource);
base::Result<void> set_resource_limit(pid_t pid, int resource, ResourceLimit limit);

// For a process with a connection for each of many peers: as many descriptors as it may have. With
// fewer those who come later have to wait.
void raise_descriptor_limit();

// Blocks the signals and makes a non-blocking descriptor that is readable when one is pending.
base::Result<UniqueFd> signal_fd(std::initializer_list<int> signals);
// The next pending one; nullopt: none.
base::Result<std::optional<int>> read_signal(const UniqueFd& signal_fd);

}  // namespace segue::os
