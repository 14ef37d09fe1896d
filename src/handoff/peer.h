// SPDX-License-Identifier: Apache-2.0
// The process at the other end: who it is, whether it is dead, and ending it.
#pragma once

#include <sys/types.h>

#include "handoff/status.h"
#include "handoff/unique_fd.h"

namespace segue::handoff {

// Checks that the process that connected or listens at `socket` runs as this user, and takes a
// pidfd of it: SO_PEERPIDFD, or on kernels before 6.5 pidfd_open() between two equal looks at the
// process's start time.
Status identify_peer(int socket, UniqueFd& pidfd, pid_t& pid);

// True only when the process has ended for certain.
bool is_dead(int pidfd);
// False where kill_peer() would fail: another user's process, or a sibling PID namespace's.
bool can_end(int pidfd);
// SIGKILL. A process that is gone already is no error.
Status kill_peer(int pidfd);

// Lets this process end behind everyone else: SCHED_IDLE and the idle I/O class.
void yield_priority();
// Takes that back for every thread of another process. Needs CAP_SYS_NICE or RLIMIT_NICE.
Status restore_priority(pid_t pid);
// The number of the process behind a pidfd; -1 when it has ended.
pid_t process_of(int pidfd);

// How many descriptors this process can still open.
size_t free_descriptors();

}  // namespace segue::handoff
