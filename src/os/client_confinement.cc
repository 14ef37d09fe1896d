// SPDX-License-Identifier: Apache-2.0
#include "os/client_confinement.h"

#include <asm/ioctls.h>
#include <linux/sockios.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <filesystem>

namespace segue::os {
namespace {

constexpr std::array kReadable = {"/etc/resolv.conf",
                                  "/etc/hosts",
                                  "/etc/nsswitch.conf",
                                  "/etc/host.conf",
                                  "/etc/gai.conf",
                                  "/etc/services",
                                  "/run/systemd/resolve",
                                  "/etc/ssl/certs",
                                  "/etc/ssl/openssl.cnf",
                                  "/usr/lib/ssl",
                                  "/usr/share/ca-certificates",
                                  "/usr/local/share/ca-certificates"};

// Each is a table entry, no more: what they could reach is bounded by the user and by
// confine_files().
constexpr std::array kPlainCalls{
    __NR_read,
    __NR_write,
    __NR_readv,
    __NR_writev,
    __NR_pread64,
    __NR_pwrite64,
    __NR_lseek,
    __NR_close,
    __NR_fstat,
    __NR_newfstatat,
    __NR_statx,
    __NR_openat,
    __NR_ftruncate,
    __NR_mkdirat,
    __NR_unlinkat,
    __NR_renameat,
    __NR_renameat2,
    __NR_linkat,
    __NR_fsync,
    __NR_fdatasync,
    __NR_getdents64,
    __NR_fcntl,
    __NR_flock,
    __NR_readlinkat,
    __NR_faccessat,
    __NR_fchmod,
    __NR_umask,
    __NR_getcwd,
    __NR_dup,
    __NR_dup3,
    __NR_pipe2,
    __NR_eventfd2,
    __NR_epoll_create1,
    __NR_epoll_ctl,
    __NR_epoll_pwait,
    __NR_ppoll,
    __NR_timerfd_create,
    __NR_timerfd_settime,
    __NR_connect,
    __NR_bind,
    __NR_getsockname,
    __NR_getpeername,
    __NR_getsockopt,
    __NR_setsockopt,
    __NR_sendto,
    __NR_recvfrom,
    __NR_sendmsg,
    __NR_recvmsg,
    __NR_sendmmsg,
    __NR_recvmmsg,
    __NR_shutdown,
    __NR_socketpair,
    __NR_munmap,
    __NR_mremap,
    __NR_madvise,
    __NR_brk,
    __NR_futex,
    __NR_set_robust_list,
    __NR_set_tid_address,
    __NR_membarrier,
    __NR_getrandom,
    __NR_rt_sigaction,
    __NR_rt_sigprocmask,
    __NR_rt_sigreturn,
    __NR_sigaltstack,
    __NR_getpid,
    __NR_gettid,
    __NR_getuid,
    __NR_geteuid,
    __NR_getgid,
    __NR_getegid,
    __NR_clock_gettime,
    __NR_clock_getres,
    __NR_clock_nanosleep,
    __NR_nanosleep,
    __NR_gettimeofday,
    __NR_sched_yield,
    __NR_sched_getaffinity,
    __NR_sched_getparam,
    __NR_sched_getscheduler,
    __NR_getrusage,
    __NR_sysinfo,
    __NR_uname,
    __NR_restart_syscall,
    __NR_exit,
    __NR_exit_group,
#if defined(__NR_rseq)
    __NR_rseq,
#endif
#if defined(__x86_64__)
    __NR_open,
    __NR_stat,
    __NR_lstat,
    __NR_access,
    __NR_poll,
    __NR_select,
    __NR_epoll_wait,
    __NR_mkdir,
    __NR_unlink,
    __NR_rename,
    __NR_readlink,
    __NR_pipe,
    __NR_dup2,
    __NR_arch_prctl,
    __NR_time,
#endif
};

}  // namespace

std::vector<CallRule> client_call_rules(const std::vector<std::uint32_t>& families) {
  std::vector<CallRule> rules = memory_call_rules();
  for (const int call : kPlainCalls) rules.push_back({.call = call});
  // Threads, but no processes; clone3 hides its flags in memory, and is refused.
  rules.push_back({.call = __NR_clone, .argument = 0, .required_bits = CLONE_THREAD});
  rules.push_back({.call = __NR_socket, .argument = 0, .one_of = families});
  rules.push_back(
      {.call = __NR_tgkill, .argument = 0, .one_of = {static_cast<std::uint32_t>(::getpid())}});
  rules.push_back({.call = __NR_ioctl, .argument = 1, .one_of = {FIONREAD, FIONBIO, TCGETS}});
  rules.push_back({.call = __NR_prctl, .argument = 0, .one_of = {PR_SET_NAME, PR_GET_NAME}});
  // To read its own limits.
  rules.push_back({.call = __NR_prlimit64, .argument = 2, .one_of = {0}});
  return rules;
}

std::vector<std::string> client_readable_paths() {
  std::vector<std::string> paths;
  std::error_code ignored;
  for (const char* path : kReadable) {
    if (std::filesystem::exists(path, ignored)) paths.emplace_back(path);
  }
  return paths;
}

}  // namespace segue::os
