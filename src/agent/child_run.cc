// SPDX-License-Identifier: Apache-2.0
#include "agent/child_run.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "control/text.h"

namespace segue::agent {
namespace {

// A killed process is dead at once, but for the kernel's own work.
constexpr base::Duration kReapLimit = std::chrono::seconds(2);
constexpr int kKilled = 128;
constexpr std::size_t kMaxToldBytes = 4'096;  // of what it said last, to a person

}  // namespace

std::string last_line_of(const std::string& path) {
  const os::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat status{};
  if (!fd || ::fstat(fd.get(), &status) != 0) return "";
  const auto begin =
      std::max<off_t>(0, status.st_size - static_cast<off_t>(ChildRun::kMaxLineBytes));
  std::string tail(ChildRun::kMaxLineBytes, '\0');
  const ssize_t got = ::pread(fd.get(), tail.data(), tail.size(), begin);
  tail.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
  while (!tail.empty() && (tail.back() == '\n' || tail.back() == '\r' || tail.back() == ' ')) {
    tail.pop_back();
  }
  const auto newline = tail.rfind('\n');
  if (newline != std::string::npos) tail.erase(0, newline + 1);
  std::replace_if(
      tail.begin(), tail.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  return tail;
}

ChildRun::ChildRun(os::EpollLoop& loop, const os::Clock& clock, Settings settings, OnEnd on_end)
    : loop_(loop), clock_(clock), settings_(std::move(settings)), on_end_(std::move(on_end)) {}

ChildRun::~ChildRun() {
  if (timer_) loop_.cancel(*timer_);
  kill();
}

void ChildRun::start() {
  const auto timer = loop_.call_at(clock_.monotonic_now(), [this] { begin(); });
  if (timer) timer_ = *timer;
}

void ChildRun::begin() {
  timer_.reset();
  constexpr int kFlags = O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOFOLLOW;
  const os::UniqueFd output(::open(settings_.output.c_str(), kFlags, 0600));
  if (!output) {
    return done(false, 0, base::errno_error("open " + settings_.output, errno).to_string());
  }
  auto child = os::spawn({.argv = settings_.argv,
                          .env = settings_.env,
                          .cwd = "/",
                          .fds = {{output.get(), 1}, {output.get(), 2}},
                          .ends_with_parent = true});
  if (!child) return done(false, 0, child.error().to_string());
  child_ = *std::move(child);
  const auto watched = loop_.watch(child_.pidfd.get(), EPOLLIN, [this](std::uint32_t) { ended(); });
  const auto timer = loop_.call_at(clock_.monotonic_now() + settings_.limit, [this] {
    timer_.reset();
    const auto limit = control::seconds_text(static_cast<std::uint64_t>(settings_.limit.count()));
    done(false, 0, fmt::format("did not end within {}", limit));
  });
  if (timer) timer_ = *timer;
  if (!watched) return done(false, 0, watched.error().message());
  if (!timer) return done(false, 0, timer.error().message());
}

void ChildRun::ended() {
  const auto status = os::wait_for_exit(child_.pidfd, base::Duration(0));
  if (status && !*status) return;
  loop_.unwatch(child_.pidfd.get());
  child_ = {};
  if (!status) return done(false, 0, status.error().message());
  const os::ExitStatus& exit = **status;
  done(true, exit.signal == 0 ? exit.exit_code : kKilled + exit.signal, exit.to_string());
}

void ChildRun::done(bool ended, int exit_code, const std::string& how) {
  if (timer_) loop_.cancel(*std::exchange(timer_, std::nullopt));
  kill();
  Result result{.ended = ended, .exit_code = exit_code, .text = how, .last_line = {}};
  result.last_line = last_line_of(settings_.output);
  if (!result.last_line.empty()) result.text += ": " + result.last_line.substr(0, kMaxToldBytes);
  const OnEnd on_end = std::exchange(on_end_, nullptr);
  if (on_end) on_end(result);
}

void ChildRun::kill() {
  if (!child_.pidfd) return;
  loop_.unwatch(child_.pidfd.get());
  ::kill(-child_.pid, SIGKILL);  // it has a process group of its own
  (void)os::wait_for_exit(child_.pidfd, kReapLimit);
  child_ = {};
}

}  // namespace segue::agent
