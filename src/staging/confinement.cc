// SPDX-License-Identifier: Apache-2.0
#include "staging/confinement.h"

#include <asm/ioctls.h>
#include <linux/fs.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <string_view>

#include "os/client_confinement.h"
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

// Trees with what belongs to their files, and the process of run_sandboxed().
constexpr std::array kStaging{
    __NR_openat2,
    __NR_symlinkat,
    __NR_copy_file_range,
    __NR_syncfs,
    __NR_fgetxattr,
    __NR_flistxattr,
    __NR_fsetxattr,
    __NR_fremovexattr,
    __NR_utimensat,
    __NR_wait4,
    __NR_getppid,
    __NR_close_range,
    __NR_landlock_create_ruleset,
    __NR_landlock_add_rule,
    __NR_landlock_restrict_self,
};
constexpr std::uint32_t kNewNamespaces = CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS |
                                         CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET;
constexpr std::string_view kFileScheme = "file://";

std::vector<os::CallRule> staging_call_rules() {
  std::vector<os::CallRule> rules{
      {.call = __NR_clone, .argument = 0, .forbidden_bits = kNewNamespaces},
      {.call = __NR_prctl,
       .argument = 0,
       .one_of = {PR_SET_NAME, PR_GET_NAME, PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP}},
      {.call = __NR_prlimit64, .argument = 0, .one_of = {0}},
      {.call = __NR_ioctl,
       .argument = 1,
       .one_of = {FIONREAD, FIONBIO, TCGETS, TIOCGWINSZ, static_cast<std::uint32_t>(FICLONE)}}};
  for (const int call : kStaging) rules.push_back({.call = call});
  if (::geteuid() != 0) {
    // Of its own user's files; root lists and removes what it likes without.
    rules.push_back({.call = __NR_fchmodat});
#if defined(__x86_64__)
    rules.push_back({.call = __NR_chmod});
#endif
  }
  // By no Unix socket: those are the doors of engines and keepers.
  const auto client = os::client_call_rules({AF_INET, AF_INET6, AF_NETLINK});
  rules.insert(rules.end(), client.begin(), client.end());
  return rules;
}

}  // namespace

base::Result<void> confine(const SandboxRules& rules) {
  SEGUE_TRY(os::confine_files({.readable = rules.readable, .writable = rules.writable}));
  std::vector<os::CallRule> calls = os::memory_call_rules();
  for (const int call : kAllowed) calls.push_back({.call = call});
  return os::confine_system_calls(calls, os::Otherwise::kill);
}

base::Result<void> confine_to_staging(const Place& place, const std::string& library_url) {
  os::FileRules rules{.readable = os::client_readable_paths(), .may_connect = true};
  rules.readable.push_back(place.directory());
  rules.owned.push_back(place.own_folder());
  if (place.has_live()) rules.owned.push_back(place.live_path());
  if (library_url.starts_with(kFileScheme)) {
    // Its folders may be links to where there is room.
    const std::string library = library_url.substr(kFileScheme.size());
    std::error_code ignored;
    for (const auto* folder : {"", "/metadata", "/objects"}) {
      if (std::filesystem::exists(library + folder, ignored)) {
        rules.readable.push_back(library + folder);
      }
    }
  }
  SEGUE_TRY(os::confine_files(rules));
  return os::confine_system_calls(staging_call_rules(), os::Otherwise::refuse);
}

}  // namespace segue::staging
