// SPDX-License-Identifier: Apache-2.0
#include "os/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <limits>
#include <system_error>

#include "base/assert.h"
#include "os/files.h"

namespace segue::os {
namespace {

// Of linux/pidfd.h, Linux 6.15; missing in Debian 12's headers.
struct PidfdInfo {
  std::uint64_t mask = 0;
  std::uint64_t cgroup = 0;
  std::uint32_t ids[11] = {};
  std::int32_t exit_code = 0;
};
constexpr std::uint64_t kPidfdInfoExit = 1 << 3;
constexpr unsigned long kPidfdGetInfo = _IOWR(0xFF, 11, PidfdInfo);

using base::errno_error;
using base::ErrorCode;
using base::fail;
using base::Result;

// What failed in the child before exec, sent through a pipe that a successful exec closes.
struct ChildFailure {
  enum class Step { parent, signals, descriptors, directory, limits, exec } step;
  int error_number;
};

std::string describe(ChildFailure::Step step, const SpawnOptions& options) {
  switch (step) {
    case ChildFailure::Step::parent:
      return "tie it to its parent";
    case ChildFailure::Step::signals:
      return "reset signals";
    case ChildFailure::Step::descriptors:
      return "arrange descriptors";
    case ChildFailure::Step::directory:
      return "change directory to " + options.cwd;
    case ChildFailure::Step::limits:
      return "limit what it may use";
    case ChildFailure::Step::exec:
      return "exec";
  }
  SEGUE_ASSERT(false && "a Step outside its enumeration");
}

std::vector<char*> pointers_to(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const auto& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// All that the child needs, made before fork: afterwards nothing may allocate.
struct ChildPlan {
  std::vector<char*> argv;
  std::vector<char*> env;
  const char* cwd;
  std::vector<InheritedFd> fds;
  int first_free_fd;                       // above every target
  pid_t parent;                            // with which it ends; 0: with nobody
  std::vector<std::string> pid_variables;  // NAME= and room for the digits
  std::vector<std::pair<int, rlimit>> limits;
};

constexpr std::size_t kMaxPidDigits = 10;
constexpr std::uint64_t kManyDescriptors = 65'536;

// NAME= and as many zero bytes as a pid may have digits.
std::vector<std::string> with_room_for_pid(const std::vector<std::string>& names) {
  std::vector<std::string> variables;
  variables.reserve(names.size());
  for (const auto& name : names) variables.push_back(name + "=" + std::string(kMaxPidDigits, '\0'));
  return variables;
}

void write_own_pid(std::vector<std::string>& variables) {
  const pid_t pid = ::getpid();
  for (auto& variable : variables) {
    std::to_chars(variable.data() + variable.size() - kMaxPidDigits,
                  variable.data() + variable.size(), pid);
  }
}

[[noreturn]] void give_up(int report, ChildFailure::Step step) {
  const ChildFailure failure{step, errno};
  [[maybe_unused]] const auto written = ::write(report, &failure, sizeof failure);
  ::_exit(127);
}

// False also when the parent had ended before it could be tied to it.
bool end_with(pid_t parent) {
  return ::prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && ::getppid() == parent;
}

bool reset_signals() {
  struct sigaction standard{};
  standard.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) {
    ::sigaction(signal, &standard, nullptr);  // fails for those that cannot be changed
  }
  sigset_t none;
  ::sigemptyset(&none);
  return ::sigprocmask(SIG_SETMASK, &none, nullptr) == 0;
}

// First moves every source out of the way of the targets, then to its target. Only dup2 makes a
// descriptor that exec leaves open.
bool arrange_descriptors(ChildPlan& plan) {
  for (auto& fd : plan.fds) {
    fd.source = ::fcntl(fd.source, F_DUPFD_CLOEXEC, plan.first_free_fd);
    if (fd.source < 0) return false;
  }
  if (::close_range(3, std::numeric_limits<unsigned>::max(), CLOSE_RANGE_CLOEXEC) != 0)
    return false;
  return std::all_of(plan.fds.begin(), plan.fds.end(),
                     [](const InheritedFd& fd) { return ::dup2(fd.source, fd.target) >= 0; });
}

bool set_limits(const ChildPlan& plan) {
  return std::all_of(plan.limits.begin(), plan.limits.end(), [](const auto& limit) {
    return ::prlimit(0, static_cast<__rlimit_resource>(limit.first), &limit.second, nullptr) == 0;
  });
}

[[noreturn]] void become_program(ChildPlan& plan, int report) {
  report = ::fcntl(report, F_DUPFD_CLOEXEC, plan.first_free_fd);
  if (report < 0) ::_exit(127);
  ::setpgid(0, 0);
  if (plan.parent != 0 && !end_with(plan.parent)) give_up(report, ChildFailure::Step::parent);
  write_own_pid(plan.pid_variables);
  if (!reset_signals()) give_up(report, ChildFailure::Step::signals);
  if (!arrange_descriptors(plan)) give_up(report, ChildFailure::Step::descriptors);
  if (plan.cwd != nullptr && ::chdir(plan.cwd) != 0) give_up(report, ChildFailure::Step::directory);
  if (!set_limits(plan)) give_up(report, ChildFailure::Step::limits);
  ::execvpe(plan.argv[0], plan.argv.data(), plan.env.data());
  give_up(report, ChildFailure::Step::exec);
}

// Waits until the child has become its program, or says why it has not.
Result<void> await_exec(int report, const SpawnOptions& options) {
  ChildFailure failure{};
  ssize_t got = 0;
  do {
    got = ::read(report, &failure, sizeof failure);
  } while (got < 0 && errno == EINTR);
  if (got == 0) return {};
  if (got != sizeof failure) {
    return fail(ErrorCode::internal, "cannot start {}: the child ended early", options.argv[0]);
  }
  return fail(errno_error(describe(failure.step, options), failure.error_number)
                  .with(fmt::format("cannot start {}", options.argv[0])));
}

Result<std::vector<pid_t>> threads_of(pid_t pid) {
  std::error_code error;
  std::filesystem::directory_iterator tasks(fmt::format("/proc/{}/task", pid), error);
  std::vector<pid_t> threads;
  for (; !error && tasks != std::filesystem::directory_iterator(); tasks.increment(error)) {
    const std::string name = tasks->path().filename().string();
    pid_t thread = 0;
    std::from_chars(name.data(), name.data() + name.size(), thread);
    threads.push_back(thread);
  }
  if (error) return fail(errno_error(fmt::format("list the threads of {}", pid), error.value()));
  return threads;
}

}  // namespace

Result<Child> spawn(const SpawnOptions& options) {
  if (options.argv.empty()) return fail(ErrorCode::invalid_argument, "no program to start");
  ChildPlan plan{.argv = pointers_to(options.argv),
                 .env = pointers_to(options.env),
                 .cwd = options.cwd.empty() ? nullptr : options.cwd.c_str(),
                 .fds = options.fds,
                 .first_free_fd = 3,
                 .parent = options.ends_with_parent ? ::getpid() : 0,
                 .pid_variables = with_room_for_pid(options.pid_variables),
                 .limits = {}};
  for (const auto& [resource, limit] : options.limits) {
    plan.limits.emplace_back(resource, rlimit{.rlim_cur = limit.soft, .rlim_max = limit.hard});
  }
  plan.env.pop_back();
  for (auto& variable : plan.pid_variables) plan.env.push_back(variable.data());
  plan.env.push_back(nullptr);
  for (const auto& fd : plan.fds) {
    plan.first_free_fd = std::max(plan.first_free_fd, fd.target + 1);
  }

  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail(errno_error("make a pipe", errno));
  const UniqueFd report(ends[0]);
  UniqueFd report_of_child(ends[1]);

  // With every signal blocked, no handler of this process can run in the child.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const pid_t pid = ::fork();
  const int fork_error = errno;
  if (pid == 0) become_program(plan, report_of_child.get());
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (pid < 0) {
    return fail(errno_error(fmt::format("fork for {}", options.argv[0]), fork_error));
  }

  report_of_child.reset();
  Child child{.pid = pid, .pidfd = {}};
  auto started = await_exec(report.get(), options);
  if (started) {
    auto pidfd = open_process(pid);  // the child is not reaped: the pid is still its own
    if (pidfd) {
      child.pidfd = *std::move(pidfd);
      return child;
    }
    ::kill(pid, SIGKILL);
    started = fail(std::move(pidfd).error());
  }
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return fail(std::move(started).error());
}

Result<void> detach_from_terminal() {
  const pid_t pid = ::fork();
  if (pid < 0) return fail(errno_error("fork", errno));
  if (pid > 0) ::_exit(0);
  if (::setsid() < 0) return fail(errno_error("begin a session", errno));
  return {};
}

base::Error replace_process(const std::vector<std::string>& argv,
                            const std::vector<std::string>& env, const std::vector<int>& kept) {
  if (argv.empty()) return {ErrorCode::invalid_argument, "no program to become"};
  std::vector<int> opened;
  const auto close_again = [&] {
    for (const int fd : opened) ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  };
  for (const int fd : kept) {
    if (::fcntl(fd, F_SETFD, 0) != 0) {
      const int error_number = errno;
      close_again();
      return errno_error(fmt::format("keep descriptor {}", fd), error_number);
    }
    opened.push_back(fd);
  }
  ::execve(argv.front().c_str(), pointers_to(argv).data(), pointers_to(env).data());
  const int error_number = errno;
  close_again();
  return errno_error("execute " + argv.front(), error_number);
}

std::string ExitStatus::to_string() const {
  if (signal == 0) return fmt::format("exited with {}", exit_code);
  const char* description = ::sigdescr_np(signal);
  return fmt::format("was killed by signal {} ({})", signal,
                     description != nullptr ? description : "real-time");
}

Result<std::optional<ExitStatus>> wait_for_exit(const UniqueFd& pidfd, base::Duration max_wait) {
  using std::chrono::milliseconds;
  const auto timeout_ms = std::clamp<std::int64_t>(
      std::chrono::ceil<milliseconds>(max_wait).count(), 0, std::numeric_limits<int>::max());
  pollfd ended{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
  if (::poll(&ended, 1, static_cast<int>(timeout_ms)) < 0 && errno != EINTR) {
    return fail(errno_error("wait for a child", errno));
  }
  siginfo_t info{};
  if (::waitid(P_PIDFD, static_cast<id_t>(pidfd.get()), &info, WEXITED | WNOHANG) != 0) {
    return fail(errno_error("wait for a child", errno));
  }
  if (info.si_pid == 0) return std::nullopt;
  if (info.si_code == CLD_EXITED) return ExitStatus{.exit_code = info.si_status};
  return ExitStatus{.signal = info.si_status};
}

std::optional<ExitStatus> exit_of(const UniqueFd& pidfd, base::Duration max_wait) {
  constexpr base::Duration kLookAgain = std::chrono::milliseconds(1);
  for (base::Duration waited{}; waited <= max_wait; waited += kLookAgain) {
    PidfdInfo info{.mask = kPidfdInfoExit};
    if (::ioctl(pidfd.get(), kPidfdGetInfo, &info) != 0) return std::nullopt;
    if ((info.mask & kPidfdInfoExit) != 0) {
      if (WIFSIGNALED(info.exit_code)) return ExitStatus{.signal = WTERMSIG(info.exit_code)};
      return ExitStatus{.exit_code = WEXITSTATUS(info.exit_code)};
    }
    pollfd ended{.fd = pidfd.get(), .events = POLLIN, .revents = 0};
    if (::poll(&ended, 1, 0) != 1) return std::nullopt;  // it runs
    (void)::poll(nullptr, 0, 1);
  }
  return std::nullopt;
}

Result<UniqueFd> open_process(pid_t pid) {
  UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!pidfd) return fail(errno_error(fmt::format("open process {}", pid), errno));
  return pidfd;
}

Result<void> send_signal(const UniqueFd& pidfd, int signal) {
  if (::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0) == 0) return {};
  return fail(errno_error(fmt::format("send signal {}", signal), errno));
}

Result<std::uint64_t> start_time_ticks(pid_t pid) {
  constexpr std::size_t kMaxStatBytes = 4096;
  const std::string path = fmt::format("/proc/{}/stat", pid);
  SEGUE_ASSIGN(const std::string stat, read_file(path, kMaxStatBytes));
  // proc(5): the name, field 2, may hold anything and ends with the last ')'; the start is
  // field 22.
  std::size_t position = stat.rfind(')');
  for (int field = 2; field < 22 && position != std::string::npos; ++field) {
    position = stat.find(' ', position + 1);
  }
  std::uint64_t ticks = 0;
  if (position == std::string::npos ||
      std::from_chars(stat.data() + position + 1, stat.data() + stat.size(), ticks).ec !=
          std::errc()) {
    return fail(ErrorCode::internal, "{} is not as proc(5) describes it", path);
  }
  return ticks;
}

std::string boot_id() {
  constexpr std::size_t kMaxBootIdBytes = 64;
  const auto text = read_file("/proc/sys/kernel/random/boot_id", kMaxBootIdBytes);
  return text ? text->substr(0, text->find('\n')) : "";
}

Result<void> set_priority(pid_t pid, Priority priority) {
  const int policy = priority == Priority::idle ? SCHED_IDLE : SCHED_OTHER;
  const sched_param parameters{};
  // A thread that starts meanwhile inherits its parent's policy, old or new: look again.
  constexpr int kMaxPasses = 8;
  for (int pass = 0; pass < kMaxPasses; ++pass) {
    SEGUE_ASSIGN(const auto threads, threads_of(pid));
    bool changed = false;
    for (const pid_t thread : threads) {
      if (::sched_getscheduler(thread) == policy) continue;
      changed = true;
      if (::sched_setscheduler(thread, policy, &parameters) != 0 && errno != ESRCH) {
        return fail(errno_error(fmt::format("change the scheduling of process {}", pid), errno));
      }
    }
    if (!changed) return {};
  }
  return fail(ErrorCode::aborted, "process {} starts threads faster than they can be changed", pid);
}

Result<ResourceLimit> resource_limit(pid_t pid, int resource) {
  rlimit limit{};
  if (::prlimit(pid, static_cast<__rlimit_resource>(resource), nullptr, &limit) != 0) {
    return fail(errno_error(fmt::format("read limit {} of process {}", resource, pid), errno));
  }
  return ResourceLimit{.soft = limit.rlim_cur, .hard = limit.rlim_max};
}

Result<void> set_resource_limit(pid_t pid, int resource, ResourceLimit limit) {
  const rlimit wanted{.rlim_cur = limit.soft, .rlim_max = limit.hard};
  if (::prlimit(pid, static_cast<__rlimit_resource>(resource), &wanted, nullptr) == 0) return {};
  return fail(errno_error(fmt::format("set limit {} of process {}", resource, pid), errno));
}

void raise_descriptor_limit() {
  const auto limit = resource_limit(0, RLIMIT_NOFILE);
  if (!limit || limit->soft >= kManyDescriptors) return;
  const auto soft = std::min<decltype(limit->soft)>(limit->hard, kManyDescriptors);
  (void)set_resource_limit(0, RLIMIT_NOFILE, {.soft = soft, .hard = limit->hard});
}

Result<UniqueFd> signal_fd(std::initializer_list<int> signals) {
  sigset_t set;
  ::sigemptyset(&set);
  for (const int signal : signals) ::sigaddset(&set, signal);
  if (::sigprocmask(SIG_BLOCK, &set, nullptr) != 0) {
    return fail(errno_error("block signals", errno));
  }
  UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return fail(errno_error("make a signalfd", errno));
  return fd;
}

Result<std::optional<int>> read_signal(const UniqueFd& signal_fd) {
  signalfd_siginfo info{};
  const ssize_t got = ::read(signal_fd.get(), &info, sizeof info);
  if (got == sizeof info) return static_cast<int>(info.ssi_signo);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
  return fail(errno_error("read a signal", errno));
}

}  // namespace segue::os
