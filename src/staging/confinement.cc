// SPDX-License-Identifier: Apache-2.0
#include "staging/confinement.h"

#include <sys/syscall.h>

#include <array>

#include "os/confinement.h"

namespace segue::staging {
namespace {

// What reading, mapping and writing files, memory, and the end of a process need.
constexpr std::array kAllowed{
    __NR_read,           __NR_write,        __NR_pread64,
    __NR_pwrite64,       __NR_lseek,        __NR_close,
    __NR_fstat,          __NR_newfstatat,   __NR_openat,
    __NR_openat2,        __NR_ftruncate,    __NR_mkdirat,
    __NR_symlinkat,      __NR_fremovexattr, __NR_munmap,
    __NR_mremap,         __NR_madvise,      __NR_brk,
    __NR_futex,          __NR_getrandom,    __NR_rt_sigaction,
    __NR_rt_sigprocmask, __NR_rt_sigreturn, __NR_sigaltstack,
    __NR_getpid,         __NR_gettid,       __NR_tgkill,
    __NR_clock_gettime,  __NR_sched_yield,  __NR_restart_syscall,
    __NR_exit,           __NR_exit_group,
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    __NR_pipe2,  // how they look at memory
#endif
#if defined(__x86_64__)
    __NR_open,           __NR_stat,         __NR_mkdir,
    __NR_readlink,
#else
    __NR_readlinkat,
#endif
};

}  // namespace

base::Result<void> confine(const SandboxRules& rules) {
  SEGUE_TRY(os::confine_files({.readable = rules.readable, .writable = rules.writable}));
  std::vector<os::CallRule> calls = os::memory_call_rules();
  for (const int call : kAllowed) calls.push_back({.call = call});
  return os::confine_system_calls(calls, os::Otherwise::kill);
}

}  // namespace segue::staging
