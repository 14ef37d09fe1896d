// SPDX-License-Identifier: Apache-2.0
#include "os/confinement.h"

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

#include <atomic>
#include <cerrno>
#include <cstddef>

#include "os/unique_fd.h"

namespace segue::os {
namespace {

using base::errno_error;
using base::fail;
using base::Result;

// Debian 12's headers know the first of these; numbers from the kernel's linux/landlock.h.
constexpr std::uint64_t kExecute = 1U << 0;
constexpr std::uint64_t kWriteFile = 1U << 1;
constexpr std::uint64_t kReadFile = 1U << 2;
constexpr std::uint64_t kReadDirectory = 1U << 3;
constexpr std::uint64_t kRemoveDirectory = 1U << 4;
constexpr std::uint64_t kRemoveFile = 1U << 5;
constexpr std::uint64_t kMakeDirectory = 1U << 7;
constexpr std::uint64_t kMakeFile = 1U << 8;
constexpr std::uint64_t kMakeSymlink = 1U << 12;
constexpr std::uint64_t kVersion1 = (1U << 13) - 1;
constexpr std::uint64_t kRefer = 1U << 13;     // version 2
constexpr std::uint64_t kTruncate = 1U << 14;  // version 3
static_assert((kVersion1 & kExecute) != 0);    // handled, and allowed nowhere

struct Ruleset {
  std::uint64_t files = 0;
  std::uint64_t network = 0;  // version 4
};
constexpr std::uint64_t kBind = 1;
constexpr std::uint64_t kConnect = 2;

Result<void> allow(int ruleset, const std::string& path, std::uint64_t access) {
  const UniqueFd fd(::open(path.c_str(), O_PATH | O_CLOEXEC));
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

// One block of instructions for each rule; a block leaves the call's number where it was if the
// call is another one.
class Filter {
 public:
  explicit Filter(Otherwise otherwise)
      : refused_call_(otherwise == Otherwise::kill ? SECCOMP_RET_KILL_PROCESS
                                                   : SECCOMP_RET_ERRNO | ENOSYS),
        refused_argument_(otherwise == Otherwise::kill ? SECCOMP_RET_KILL_PROCESS
                                                       : SECCOMP_RET_ERRNO | EPERM) {
    load(offsetof(seccomp_data, arch));
    jump(BPF_JEQ, kArchitecture, 1, 0);
    end(SECCOMP_RET_KILL_PROCESS);
    load(offsetof(seccomp_data, nr));
  }

  void add(const CallRule& rule) {
    const std::size_t first = code_.size();
    jump(BPF_JEQ, static_cast<std::uint32_t>(rule.call), 0, 0);
    if (rule.forbidden_bits != 0 || rule.required_bits != 0 || !rule.one_of.empty()) check(rule);
    end(SECCOMP_RET_ALLOW);
    code_[first].jf = static_cast<std::uint8_t>(code_.size() - first - 1);
  }

  std::vector<sock_filter> finish() && {
    end(refused_call_);
    return std::move(code_);
  }

 private:
  void check(const CallRule& rule) {
    // The low half of it, on machines with the least significant byte first.
    load(offsetof(seccomp_data, args) +
         static_cast<std::size_t>(rule.argument) * sizeof(std::uint64_t));
    if (rule.forbidden_bits != 0) {
      jump(BPF_JSET, rule.forbidden_bits, 0, 1);
      end(refused_argument_);
    }
    for (std::uint32_t bits = rule.required_bits; bits != 0; bits &= bits - 1) {
      jump(BPF_JSET, bits & -bits, 1, 0);
      end(refused_argument_);
    }
    if (rule.one_of.empty()) return;
    std::size_t left = rule.one_of.size();
    for (const std::uint32_t value : rule.one_of) {
      jump(BPF_JEQ, value, static_cast<std::uint8_t>(left--), 0);
    }
    end(refused_argument_);
  }

  void load(std::size_t offset) {
    code_.push_back({static_cast<std::uint16_t>(BPF_LD | BPF_W | BPF_ABS), 0, 0,
                     static_cast<std::uint32_t>(offset)});
  }
  void jump(int kind, std::uint32_t value, std::uint8_t yes, std::uint8_t no) {
    code_.push_back({static_cast<std::uint16_t>(BPF_JMP | kind | BPF_K), yes, no, value});
  }
  void end(std::uint32_t action) {
    code_.push_back({static_cast<std::uint16_t>(BPF_RET | BPF_K), 0, 0, action});
  }

  std::vector<sock_filter> code_;
  std::uint32_t refused_call_;
  std::uint32_t refused_argument_;
};

#if defined(__SANITIZE_ADDRESS__)
std::atomic<bool> is_confined = false;
void note_confinement() {
  is_confined = true;
}
#else
void note_confinement() {}
#endif

Result<void> give_up_new_privileges() {
  note_confinement();
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0) return {};
  return fail(errno_error("give up new privileges", errno));
}

}  // namespace

Result<void> confine_files(const FileRules& rules) {
  SEGUE_TRY(give_up_new_privileges());
  const long version =
      ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (version < 1) return {};  // ENOSYS, or switched off
  Ruleset handled{.files = kVersion1};
  if (version >= 2) handled.files |= kRefer;
  if (version >= 3) handled.files |= kTruncate;
  if (version >= 4) handled.network = rules.may_connect ? kBind : kBind | kConnect;
  const std::size_t size = version >= 4 ? sizeof(handled) : sizeof(handled.files);
  const UniqueFd ruleset(
      static_cast<int>(::syscall(SYS_landlock_create_ruleset, &handled, size, 0)));
  if (!ruleset) return fail(errno_error("make a Landlock ruleset", errno));
  const std::uint64_t read = kReadFile | kReadDirectory;
  const std::uint64_t write =
      read | kWriteFile | kMakeDirectory | kMakeFile | kMakeSymlink | (handled.files & kTruncate);
  for (const auto& path : rules.readable) SEGUE_TRY(allow(ruleset.get(), path, read));
  for (const auto& path : rules.writable) SEGUE_TRY(allow(ruleset.get(), path, write));
  for (const auto& path : rules.owned) {
    SEGUE_TRY(allow(ruleset.get(), path,
                    write | kRemoveFile | kRemoveDirectory | (handled.files & kRefer)));
  }
  if (::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) == 0) return {};
  return fail(errno_error("confine to files", errno));
}

Result<void> confine_system_calls(const std::vector<CallRule>& rules, Otherwise otherwise) {
  if (!kHasFilter) return {};
  SEGUE_TRY(give_up_new_privileges());
  Filter filter(otherwise);
  for (const auto& rule : rules) filter.add(rule);
  std::vector<sock_filter> code = std::move(filter).finish();
  const sock_fprog program{.len = static_cast<unsigned short>(code.size()), .filter = code.data()};
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) == 0) return {};
  if (errno == EINVAL) return {};  // a kernel without filters
  return fail(errno_error("confine system calls", errno));
}

std::vector<CallRule> memory_call_rules() {
  return {{.call = __NR_mmap, .argument = 2, .forbidden_bits = PROT_EXEC},
          {.call = __NR_mprotect, .argument = 2, .forbidden_bits = PROT_EXEC}};
}

}  // namespace segue::os

#if defined(__SANITIZE_ADDRESS__)
// A leak check at the end traces the process, which one that is confined may not.
extern "C" int __lsan_is_turned_off() {  // NOLINT: the name is the sanitizer's
  return segue::os::is_confined ? 1 : 0;
}
#endif
