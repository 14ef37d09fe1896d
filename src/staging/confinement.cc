// SPDX-License-Identifier: Apache-2.0
#include "staging/confinement.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <vector>

#include "os/unique_fd.h"

namespace segue::staging {
namespace {

using base::errno_error;
using base::fail;
using base::Result;

// Debian 12's headers know the first of these; numbers from the kernel's linux/landlock.h.
constexpr std::uint64_t kExecute = 1U << 0;
constexpr std::uint64_t kWriteFile = 1U << 1;
constexpr std::uint64_t kReadFile = 1U << 2;
constexpr std::uint64_t kReadDirectory = 1U << 3;
constexpr std::uint64_t kMakeDirectory = 1U << 7;
constexpr std::uint64_t kMakeFile = 1U << 8;
constexpr std::uint64_t kMakeSymlink = 1U << 12;
constexpr std::uint64_t kVersion1 = (1U << 13) - 1;
constexpr std::uint64_t kRefer = 1U << 13;     // version 2
constexpr std::uint64_t kTruncate = 1U << 14;  // version 3

struct Ruleset {
  std::uint64_t files = 0;
  std::uint64_t network = 0;  // version 4: connect and bind
};
constexpr std::uint64_t kAllNetwork = 3;

Result<void> allow(int ruleset, const std::string& path, std::uint64_t access) {
  const os::UniqueFd fd(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!fd) return fail(errno_error("open " + path, errno));
  struct stat status{};
  if (::fstat(fd.get(), &status) != 0) return fail(errno_error("stat " + path, errno));
  if (!S_ISDIR(status.st_mode)) access &= kReadFile;
  landlock_path_beneath_attr rule{};
  rule.allowed_access = access;
  rule.parent_fd = fd.get();
  if (::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0) {
    return {};
  }
  return fail(errno_error("confine to " + path, errno));
}

#if defined(__x86_64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
constexpr bool kHasFilter = true;
#elif defined(__aarch64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
constexpr bool kHasFilter = true;
#else
constexpr std::uint32_t kArchitecture = 0;
constexpr bool kHasFilter = false;
#endif

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
// Of these only what makes no memory executable.
constexpr std::array kAllowedWithoutExecution{__NR_mmap, __NR_mprotect};

std::vector<sock_filter> system_call_filter() {
  constexpr auto kLoad = static_cast<std::uint16_t>(BPF_LD | BPF_W | BPF_ABS);
  constexpr auto kEqual = static_cast<std::uint16_t>(BPF_JMP | BPF_JEQ | BPF_K);
  constexpr auto kAnyBit = static_cast<std::uint16_t>(BPF_JMP | BPF_JSET | BPF_K);
  constexpr auto kReturn = static_cast<std::uint16_t>(BPF_RET | BPF_K);
  const auto load = [](std::size_t offset) {
    return sock_filter{kLoad, 0, 0, static_cast<std::uint32_t>(offset)};
  };
  const auto end = [](std::uint32_t action) { return sock_filter{kReturn, 0, 0, action}; };
  std::vector<sock_filter> filter{
      load(offsetof(seccomp_data, arch)),
      {kEqual, 1, 0, kArchitecture},
      end(SECCOMP_RET_KILL_PROCESS),
      load(offsetof(seccomp_data, nr)),
  };
  for (const int call : kAllowed) {
    filter.push_back({kEqual, 0, 1, static_cast<std::uint32_t>(call)});
    filter.push_back(end(SECCOMP_RET_ALLOW));
  }
  for (const int call : kAllowedWithoutExecution) {
    filter.push_back({kEqual, 0, 4, static_cast<std::uint32_t>(call)});
    filter.push_back(load(offsetof(seccomp_data, args) + 2 * sizeof(std::uint64_t)));
    filter.push_back({kAnyBit, 0, 1, PROT_EXEC});
    filter.push_back(end(SECCOMP_RET_KILL_PROCESS));
    filter.push_back(end(SECCOMP_RET_ALLOW));
  }
  filter.push_back(end(SECCOMP_RET_KILL_PROCESS));
  return filter;
}

}  // namespace

Result<void> confine_files(const SandboxRules& rules) {
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return fail(errno_error("give up new privileges", errno));
  }
  const long version =
      ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (version < 1) return {};  // ENOSYS, or switched off
  Ruleset handled{.files = kVersion1};
  if (version >= 2) handled.files |= kRefer;
  if (version >= 3) handled.files |= kTruncate;
  if (version >= 4) handled.network = kAllNetwork;
  const std::size_t size = version >= 4 ? sizeof(handled) : sizeof(handled.files);
  const os::UniqueFd ruleset(
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &handled, size, 0)));
  if (!ruleset) return fail(errno_error("make a Landlock ruleset", errno));
  for (const std::string& path : rules.readable) {
    SEGUE_TRY(allow(ruleset.get(), path, kReadFile | kReadDirectory));
  }
  const std::uint64_t write = kReadFile | kReadDirectory | kWriteFile | kMakeDirectory | kMakeFile |
                              kMakeSymlink | (handled.files & kTruncate);
  for (const std::string& path : rules.writable) SEGUE_TRY(allow(ruleset.get(), path, write));
  static_assert((kVersion1 & kExecute) != 0);  // handled, and allowed nowhere
  if (::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) == 0) return {};
  return fail(errno_error("confine to files", errno));
}

Result<void> confine_system_calls() {
  if (!kHasFilter) return {};
  std::vector<sock_filter> filter = system_call_filter();
  const sock_fprog program{.len = static_cast<unsigned short>(filter.size()),
                           .filter = filter.data()};
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0) return {};
  if (errno == EINVAL) return {};  // a kernel without filters
  return fail(errno_error("confine system calls", errno));
}

}  // namespace segue::staging
