// SPDX-License-Identifier: Apache-2.0
#include "agent/deciding_half.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <vector>

#include "os/client_confinement.h"
#include "os/confinement.h"
#include "os/unix_socket.h"

namespace segue::agent {
namespace {

using base::errno_error;
using base::Error;
using base::ErrorCode;
using base::fail;
using base::Result;

constexpr int kSocketFd = 3;
constexpr const char* kNobody = "nobody";

// What it reads beside what it keeps: how names of hosts are looked up, and what TLS needs.
constexpr std::array kReadable = {"/etc", "/run/systemd/resolve", "/usr/lib/ssl"};

std::vector<os::CallRule> call_rules() {
  auto rules = os::client_call_rules({AF_UNIX, AF_INET, AF_INET6, AF_NETLINK});
  rules.push_back({.call = __NR_fchmodat});  // of its own user's files
  return rules;
}

Result<void> become(const HalfUser& user) {
  if (::geteuid() != 0 || user.uid == 0) return {};
  if (::setgroups(0, nullptr) == 0 && ::setresgid(user.gid, user.gid, user.gid) == 0 &&
      ::setresuid(user.uid, user.uid, user.uid) == 0) {
    return {};
  }
  return fail(errno_error("become user " + user.name, errno));
}

Result<void> enter(const std::string& directory, const HalfUser& user, pid_t parent) {
  if (::chdir(directory.c_str()) != 0) return fail(errno_error("enter " + directory, errno));
  SEGUE_TRY(become(user));
  // After that, as a change of the user takes it away.
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ::getppid() != parent) {
    return fail(ErrorCode::aborted, "the other half of the agent has gone");
  }
  return confine_half();
}

[[noreturn]] void run_child(const std::string& directory, const HalfUser& user, pid_t parent,
                            const os::UniqueFd& socket, const HalfWork& work) {
  if (socket.get() != kSocketFd && ::dup3(socket.get(), kSocketFd, O_CLOEXEC) < 0) ::_exit(1);
  if (::close_range(kSocketFd + 1, ~0U, 0) != 0) ::_exit(1);
  if (const auto entered = enter(directory, user, parent); !entered) {
    fmt::print(stderr, "segue: {}\n", entered.error().to_string());
    ::_exit(1);
  }
  work(os::UniqueFd(kSocketFd));
  std::fflush(stderr);
  ::_exit(0);
}

Result<void> give(const std::filesystem::path& path, const HalfUser& user) {
  if (::lchown(path.c_str(), user.uid, user.gid) == 0) return {};
  return fail(errno_error(fmt::format("give {} to {}", path.string(), user.name), errno));
}

}  // namespace

Result<HalfUser> half_user(const std::string& name) {
  if (::geteuid() != 0) return HalfUser{"", ::geteuid(), ::getegid()};
  for (const std::string& known : {name, std::string(kNobody)}) {
    const passwd* entry = ::getpwnam(known.c_str());
    if (entry != nullptr) return HalfUser{known, entry->pw_uid, entry->pw_gid};
  }
  return fail(ErrorCode::failed_precondition, "there is no user {}, nor {}", name, kNobody);
}

Result<void> prepare_half_directory(const std::string& path, const HalfUser& user) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) return fail(errno_error("look at " + path, errno));
  if (!S_ISDIR(status.st_mode)) {
    return fail(ErrorCode::failed_precondition, "{} is not a directory", path);
  }
  if (::chmod(path.c_str(), 0700) != 0) return fail(errno_error("protect " + path, errno));
  // What lies in a directory of the user is whatever the user made of it: never given twice.
  if (status.st_uid == user.uid) return {};
  for (auto entry = std::filesystem::recursive_directory_iterator(path, error);
       !error && entry != std::filesystem::recursive_directory_iterator(); entry.increment(error)) {
    SEGUE_TRY(give(entry->path(), user));
  }
  if (error) return fail(errno_error("read " + path, error.value()));
  return give(path, user);
}

Result<void> confine_half() {
  os::FileRules rules{.owned = {"."}, .may_connect = true};
  std::error_code ignored;
  for (const char* path : kReadable) {
    if (std::filesystem::exists(path, ignored)) rules.readable.emplace_back(path);
  }
  SEGUE_TRY(os::confine_files(rules));
  return os::confine_system_calls(call_rules(), os::Otherwise::refuse);
}

Result<DecidingHalf> start_deciding_half(const std::string& directory, const HalfUser& user,
                                         const HalfWork& work) {
  SEGUE_ASSIGN(auto ends, os::socket_pair(os::SocketType::stream, os::Blocking::no));
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) return fail(errno_error("fork", errno));
  if (child == 0) {
    ends.first.reset();
    run_child(directory, user, parent, ends.second, work);
  }
  DecidingHalf half{.child = {.pid = child}, .socket = std::move(ends.first)};
  SEGUE_ASSIGN(half.child.pidfd, os::open_process(child));
  return half;
}

}  // namespace segue::agent
