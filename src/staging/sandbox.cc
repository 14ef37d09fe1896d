// SPDX-License-Identifier: Apache-2.0
#include "staging/sandbox.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <new>
#include <optional>
#include <string>
#include <string_view>

#include "os/unique_fd.h"
#include "staging/confinement.h"

namespace segue::staging {
namespace {

using base::Error;
using base::ErrorCode;
using base::fail;
using base::Result;

// Lines from the child: "made N", "failed CODE TEXT", "done".
constexpr int kReportFd = 3;
constexpr std::size_t kMaxLineBytes = 4096;
constexpr std::uint64_t kBytesBetweenReports = std::uint64_t{1} << 20;
constexpr rlim_t kMaxDescriptors = 64;
constexpr std::string_view kUnreadable =
    "failed 9 a file of the tree that is changed could not be read, or became shorter\n";
static_assert(static_cast<int>(ErrorCode::data_loss) == 9);
constexpr std::string_view kNoMemory =
    "failed 5 rebuilding the tree needs more memory than it may\n";
static_assert(static_cast<int>(ErrorCode::resource_exhausted) == 5);

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kHasShadowMemory = true;
#else
constexpr bool kHasShadowMemory = false;
#endif

void say(std::string_view line) {
  while (!line.empty()) {
    const ssize_t written = ::write(kReportFd, line.data(), line.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) ::_exit(1);
    line.remove_prefix(static_cast<std::size_t>(written));
  }
}

void say_error(const Error& error) {
  std::string text;
  for (auto context = error.context().rbegin(); context != error.context().rend(); ++context) {
    text += *context + ": ";
  }
  std::string line =
      fmt::format("failed {} {}{}", static_cast<int>(error.code()), text, error.message());
  line.resize(std::min(line.size(), kMaxLineBytes - 1));
  std::ranges::replace(line, '\n', ' ');
  say(line + "\n");
}

extern "C" void on_bus_error(int /*signal*/) {
  const ssize_t ignored = ::write(kReportFd, kUnreadable.data(), kUnreadable.size());
  ::_exit(ignored > 0 ? 0 : 1);
}

Result<void> limit(int resource, rlim_t value, const char* what) {
  const rlimit both{.rlim_cur = value, .rlim_max = value};
  if (::setrlimit(static_cast<__rlimit_resource>(resource), &both) == 0) return {};
  return fail(base::errno_error(what, errno));
}

Result<void> enter(const SandboxRules& rules) {
  struct sigaction action{};
  action.sa_handler = on_bus_error;
  if (::sigaction(SIGBUS, &action, nullptr) != 0) {
    return fail(base::errno_error("handle SIGBUS", errno));
  }
  std::set_new_handler([] {
    say(kNoMemory);
    ::_exit(0);
  });
  ::signal(SIGXFSZ, SIG_IGN);  // EFBIG instead
  SEGUE_TRY(limit(RLIMIT_CORE, 0, "limit core files"));
  SEGUE_TRY(limit(RLIMIT_FSIZE, rules.max_file_bytes, "limit the size of files"));
  SEGUE_TRY(limit(RLIMIT_NOFILE, kMaxDescriptors, "limit descriptors"));
  SEGUE_TRY(limit(RLIMIT_CPU, rules.max_cpu_s, "limit time"));
  if (!kHasShadowMemory) SEGUE_TRY(limit(RLIMIT_DATA, rules.max_memory_bytes, "limit memory"));
  return confine(rules);
}

// Never returns into what its parent was doing.
[[noreturn]] void run_child(const SandboxRules& rules, const SandboxedWork& work, int report,
                            pid_t parent) {
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ::getppid() != parent) ::_exit(1);
  ::umask(0077);
  if (report != kReportFd && ::dup2(report, kReportFd) < 0) ::_exit(1);
  if (::close_range(kReportFd + 1, ~0U, 0) != 0) ::_exit(1);
  std::uint64_t made_bytes = 0;
  std::uint64_t reported_bytes = 0;
  Result<void> done = enter(rules);
  if (done) {
    done = work([&](std::uint64_t bytes) {
      made_bytes += bytes;
      if (made_bytes - reported_bytes < kBytesBetweenReports) return;
      say(fmt::format("made {}\n", made_bytes - reported_bytes));
      reported_bytes = made_bytes;
    });
  }
  if (!done) say_error(done.error());
  if (done) say("done\n");
  ::_exit(0);
}

// What the child says, line by line.
class Report {
 public:
  explicit Report(const MadeBytes& on_made) : on_made_(on_made) {}

  void read_all(int fd) {
    std::array<char, kMaxLineBytes> room{};
    while (true) {
      const ssize_t got = ::read(fd, room.data(), room.size());
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return;
      for (const char byte : std::string_view(room.data(), static_cast<std::size_t>(got))) {
        if (byte == '\n') {
          take(line_);
          line_.clear();
        } else if (line_.size() < kMaxLineBytes) {
          line_ += byte;
        }
      }
    }
  }
  [[nodiscard]] bool is_done() const { return is_done_; }
  [[nodiscard]] const std::optional<Error>& error() const { return error_; }

 private:
  void take(std::string_view line) {
    std::uint64_t number = 0;
    const auto after = [&](std::string_view word) {
      line.remove_prefix(word.size());
      const auto parsed = std::from_chars(line.data(), line.data() + line.size(), number);
      line.remove_prefix(static_cast<std::size_t>(parsed.ptr - line.data()));
      if (line.starts_with(' ')) line.remove_prefix(1);
    };
    if (line == "done") {
      is_done_ = true;
    } else if (line.starts_with("made ")) {
      after("made ");
      if (on_made_) on_made_(number);
    } else if (line.starts_with("failed ") && !error_) {
      after("failed ");
      const bool is_code = number <= static_cast<std::uint64_t>(ErrorCode::unknown_outcome);
      error_.emplace(is_code ? static_cast<ErrorCode>(number) : ErrorCode::internal,
                     std::string(line));
    }
  }

  const MadeBytes& on_made_;
  std::string line_;
  bool is_done_ = false;
  std::optional<Error> error_;
};

Result<void> outcome_of(const Report& report, int status) {
  if (WIFSIGNALED(status)) {
    const int signal = WTERMSIG(status);
    if (signal == SIGXCPU || signal == SIGKILL) {
      return fail(ErrorCode::aborted,
                  "rebuilding the tree took more time or memory than it may (signal {})", signal);
    }
    return fail(ErrorCode::internal, "rebuilding the tree {} (signal {})",
                signal == SIGSYS ? "tried a forbidden system call" : "crashed", signal);
  }
  if (report.error()) return fail(*report.error());
  if (report.is_done() && WEXITSTATUS(status) == 0) return {};
  return fail(ErrorCode::internal, "rebuilding the tree ended with {}", WEXITSTATUS(status));
}

}  // namespace

Result<void> run_sandboxed(const SandboxRules& rules, const SandboxedWork& work,
                           const MadeBytes& on_made) {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail(base::errno_error("make a pipe", errno));
  const os::UniqueFd reading(ends[0]);
  os::UniqueFd writing(ends[1]);
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) return fail(base::errno_error("fork", errno));
  if (child == 0) run_child(rules, work, writing.get(), parent);
  writing.reset();
  Report report(on_made);
  report.read_all(reading.get());
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return fail(base::errno_error("wait for a child", errno));
  }
  return outcome_of(report, status);
}

}  // namespace segue::staging
