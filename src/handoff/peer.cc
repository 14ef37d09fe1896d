// SPDX-License-Identifier: Apache-2.0
#include "handoff/peer.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string>

namespace segue::handoff {
namespace {

constexpr int kPeerPidfd = 77;  // SO_PEERPIDFD, Linux 6.5; missing in Debian 12's headers
constexpr int kIoprioWhoProcess = 1;
constexpr int kIoprioClassIdle = 3 << 13;
constexpr int kIoprioNormal = (2 << 13) | 4;  // best effort, the middle level

// Field 22 of /proc/PID/stat; empty if there is no such process.
std::string start_time(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/stat";
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char text[1024];
  const ssize_t size = file.valid() ? read(file.get(), text, sizeof text - 1) : -1;
  if (size <= 0) return {};
  text[size] = '\0';
  const char* at = strrchr(text, ')');  // the name before it may hold anything
  for (int field = 2; at != nullptr && field < 22; ++field) {
    at = strchr(at + 1, ' ');
  }
  if (at == nullptr) return {};
  const char* end = strchr(at + 1, ' ');
  return end == nullptr ? std::string(at + 1) : std::string(at + 1, end);
}

Status open_pidfd(pid_t pid, UniqueFd& pidfd) {
  if (pid <= 0) {
    return Status::bad(SEGUE_REFUSED,
                       "the peer is in another PID namespace and this kernel cannot "
                       "name it (SO_PEERPIDFD needs Linux 6.5)");
  }
  const std::string before = start_time(pid);
  pidfd.reset(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd.valid()) return Status::system("opening a pidfd of the peer " + std::to_string(pid));
  if (before.empty() || before != start_time(pid)) {
    return Status::bad(SEGUE_REFUSED, "the peer ended while it was looked at");
  }
  return Status::good();
}

}  // namespace

Status identify_peer(int socket, UniqueFd& pidfd, pid_t& pid) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return Status::system("reading the peer's credentials");
  }
  if (credentials.uid != geteuid()) {
    return Status::bad(SEGUE_REFUSED, "the peer runs as user " + std::to_string(credentials.uid) +
                                          ", not as user " + std::to_string(geteuid()));
  }
  pid = credentials.pid;
  int raw = -1;
  size = sizeof raw;
  if (getsockopt(socket, SOL_SOCKET, kPeerPidfd, &raw, &size) == 0) {
    pidfd.reset(raw);
    return Status::good();
  }
  // Any other error than "no such option" means that the peer cannot be named safely.
  if (errno != ENOPROTOOPT) return Status::system("taking a pidfd of the peer");
  return open_pidfd(pid, pidfd);
}

bool is_dead(int pidfd) {
  pollfd entry{pidfd, POLLIN, 0};
  return poll(&entry, 1, 0) == 1 && (entry.revents & POLLIN) != 0;
}

bool can_end(int pidfd) {
  return syscall(SYS_pidfd_send_signal, pidfd, 0, nullptr, 0) == 0 || errno == ESRCH;
}

Status kill_peer(int pidfd) {
  if (syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0) == 0 || errno == ESRCH) {
    return Status::good();
  }
  return Status::system("ending the other instance");
}

void yield_priority() {
  const sched_param none{};
  sched_setscheduler(0, SCHED_IDLE, &none);
  syscall(SYS_ioprio_set, kIoprioWhoProcess, 0, kIoprioClassIdle);
}

Status restore_priority(pid_t pid) {
  const std::string path = "/proc/" + std::to_string(pid) + "/task";
  DIR* threads = opendir(path.c_str());
  if (threads == nullptr) return Status::system("listing the threads of " + std::to_string(pid));
  Status status = Status::good();
  while (const dirent* entry = readdir(threads)) {
    const auto thread = static_cast<pid_t>(strtol(entry->d_name, nullptr, 10));
    if (thread <= 0 || sched_getscheduler(thread) != SCHED_IDLE) continue;
    const sched_param none{};
    if (sched_setscheduler(thread, SCHED_OTHER, &none) != 0 && errno != ESRCH) {
      status = Status::system("changing the scheduling of thread " + std::to_string(thread));
      break;
    }
    syscall(SYS_ioprio_set, kIoprioWhoProcess, thread, kIoprioNormal);
  }
  closedir(threads);
  return status;
}

pid_t process_of(int pidfd) {
  const std::string path = "/proc/self/fdinfo/" + std::to_string(pidfd);
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char text[1024];
  const ssize_t size = file.valid() ? read(file.get(), text, sizeof text - 1) : -1;
  if (size <= 0) return -1;
  text[size] = '\0';
  const char* at = strstr(text, "\nPid:");
  return at == nullptr ? -1 : static_cast<pid_t>(strtol(at + 5, nullptr, 10));
}

size_t free_descriptors() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
  DIR* directory = opendir("/proc/self/fd");
  if (directory == nullptr) return 0;
  size_t open_now = 0;
  while (readdir(directory) != nullptr) ++open_now;
  closedir(directory);
  open_now -= open_now < 3 ? open_now : 3;  // ".", ".." and the listing itself
  return limit.rlim_cur > open_now ? limit.rlim_cur - open_now : 0;
}

}  // namespace segue::handoff
