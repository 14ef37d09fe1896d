// SPDX-License-Identifier: Apache-2.0
#include "builder/step.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

namespace segue::builder {
namespace {

using base::fail;
using base::Result;

constexpr base::Duration kClearInterval = std::chrono::milliseconds(5);
constexpr std::size_t kMaxShownLineBytes = 300;
constexpr std::size_t kReadBytes = std::size_t{64} << 10;
constexpr int kMaxReads = 16;  // at a time: a pipe holds less
constexpr std::uint64_t kMib = std::uint64_t{1} << 20U;

Result<std::pair<os::UniqueFd, os::UniqueFd>> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return fail(base::errno_error("make a pipe", errno));
  std::pair<os::UniqueFd, os::UniqueFd> pipe{os::UniqueFd(ends[0]), os::UniqueFd(ends[1])};
  if (::fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) {
    return fail(base::errno_error("make a pipe", errno));
  }
  return pipe;
}

Result<os::UniqueFd> open_file(const std::string& path, int flags) {
  os::UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC, 0600));
  if (!fd) return fail(base::errno_error("open " + path, errno));
  return fd;
}

}  // namespace

Step::Step(os::EpollLoop& loop, const os::Clock& clock, std::set<pid_t>& others)
    : loop_(loop), clock_(clock), others_(others) {}

Step::~Step() {
  if (child_.pidfd) {
    ::kill(-child_.pid, SIGKILL);  // it is not reaped: the number is still its own
    if (options_.is_guarded) {
      for (const auto& member : members().value_or(std::vector<os::TreeProcess>{})) {
        os::kill_or_reap(member);
      }
    }
    (void)os::wait_for_exit(child_.pidfd, kClearLimit);
  }
  release();
}

Result<void> Step::start(StepOptions options, OnEnd on_end) {
  options_ = std::move(options);
  on_end_ = std::move(on_end);
  end_.log_bytes = options_.log_used;
  if (!options_.log.empty()) {
    SEGUE_ASSIGN(log_, open_file(options_.log, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW));
  }
  SEGUE_TRY(spawn());
  SEGUE_TRY(loop_.watch(child_.pidfd.get(), EPOLLIN, [this](std::uint32_t) { child_ended(); }));
  SEGUE_ASSIGN(
      limit_timer_,
      loop_.call_at(clock_.monotonic_now() + std::chrono::seconds(options_.limits.time_s), [this] {
        limit_timer_.reset();
        stop(fmt::format("took longer than {} s", options_.limits.time_s));
      }));
  if (options_.is_guarded) schedule(kSurveyInterval, &Step::survey);
  return {};
}

Result<void> Step::spawn() {
  SEGUE_ASSIGN(const auto nothing, open_file("/dev/null", O_RDONLY));
  SEGUE_ASSIGN(auto output, make_pipe());
  SEGUE_ASSIGN(auto captured, make_pipe());
  const bool captures = options_.capture_bytes > 0;
  os::SpawnOptions child{
      .argv = options_.argv,
      .env = options_.env,
      .cwd = options_.cwd,
      .fds = {{.source = nothing.get(), .target = 0},
              {.source = captures ? captured.second.get() : output.second.get(), .target = 1},
              {.source = output.second.get(), .target = 2}},
      .ends_with_parent = true};
  child.limits.push_back({RLIMIT_CORE, {.soft = 0, .hard = 0}});
  if (options_.is_guarded) {
    const std::uint64_t bytes = options_.limits.file_mib * kMib;
    child.limits.push_back({RLIMIT_FSIZE, {.soft = bytes, .hard = bytes}});
  }
  SEGUE_ASSIGN(child_, os::spawn(child));
  others_.insert(child_.pid);
  SEGUE_TRY(watch_stream(output_, std::move(output.first)));
  captured_.is_captured = true;
  if (captures) SEGUE_TRY(watch_stream(captured_, std::move(captured.first)));
  return {};
}

Result<void> Step::watch_stream(Stream& stream, os::UniqueFd reader) {
  stream.fd = std::move(reader);
  return loop_.watch(stream.fd.get(), EPOLLIN, [this, &stream](std::uint32_t) { read(stream); });
}

void Step::read(Stream& stream) {
  std::array<char, kReadBytes> buffer{};
  for (int round = 0; stream.fd && round < kMaxReads; ++round) {
    const ssize_t got = ::read(stream.fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) {
      loop_.unwatch(stream.fd.get());
      stream.fd.reset();
      return;
    }
    take({buffer.data(), static_cast<std::size_t>(got)}, stream.is_captured);
  }
}

void Step::take(std::string_view bytes, bool is_captured) {
  if (is_captured) {
    const std::size_t room = options_.capture_bytes - end_.captured.size();
    end_.captured.append(bytes.substr(0, room));
    if (bytes.size() > room) stop("answered more than is allowed");
    return;
  }
  for (const char c : bytes) {
    if (c != '\n') {
      // What a terminal would obey stays in the log.
      const bool is_shown = static_cast<unsigned char>(c) >= ' ' && c != '\x7f';
      if (is_shown && line_.size() < kMaxShownLineBytes) line_ += c;
    } else if (!line_.empty()) {
      end_line();
    }
  }
  write_log(bytes);
}

void Step::end_line() {
  constexpr std::string_view kFatal = "fatal: ";
  std::string line = std::exchange(line_, "");
  if (!end_.last_line.starts_with(kFatal)) end_.last_line = std::move(line);
}

void Step::write_log(std::string_view bytes) {
  const std::uint64_t max_bytes = options_.limits.log_mib * kMib;
  const std::uint64_t room = max_bytes - std::min(max_bytes, end_.log_bytes);
  const std::string_view kept = bytes.substr(0, room);
  if (log_ && !kept.empty()) {
    // What a full disk does not take is lost; the build goes on.
    const ssize_t written = ::write(log_.get(), kept.data(), kept.size());
    if (written < 0 && errno == ENOSPC) stop("has no room left for its log");
  }
  end_.log_bytes += kept.size();
  if (bytes.size() > room) {
    stop(fmt::format("printed more than {} MiB", options_.limits.log_mib));
  }
}

void Step::schedule(base::Duration after, void (Step::*what)()) {
  if (timer_) loop_.cancel(*timer_);
  auto timer = loop_.call_at(clock_.monotonic_now() + after, [this, what] {
    timer_.reset();
    (this->*what)();
  });
  if (timer) timer_ = *timer;
}

Result<std::vector<os::TreeProcess>> Step::members() const {
  std::set<pid_t> except = others_;
  except.erase(child_.pid);
  return os::processes_below(::getpid(), except);
}

void Step::survey() {
  const auto processes = members();
  if (processes) {
    std::uint64_t bytes = 0;
    for (const auto& process : *processes) bytes += process.memory_bytes;
    if (bytes > options_.limits.memory_mib * kMib) {
      return stop(fmt::format("used more than {} MiB of memory", options_.limits.memory_mib));
    }
    if (processes->size() > options_.limits.processes) {
      return stop(fmt::format("had more than {} processes", options_.limits.processes));
    }
  }
  schedule(kSurveyInterval, &Step::survey);
}

void Step::stop(std::string why) {
  if (end_.was_stopped) return;
  end_.was_stopped = true;
  end_.why = std::move(why);
  if (!child_.pidfd) return;
  ::kill(-child_.pid, SIGKILL);
  clear_until_ = clock_.monotonic_now() + kClearLimit;
  if (options_.is_guarded) schedule(base::Duration(0), &Step::clear);
}

void Step::child_ended() {
  const auto status = os::wait_for_exit(child_.pidfd, base::Duration(0));
  if (status && !*status) return;
  loop_.unwatch(child_.pidfd.get());
  child_.pidfd.reset();
  if (!end_.was_stopped) {
    end_.good = status && (*status)->success();
    end_.exit_code = status ? (*status)->exit_code : -1;
    if (!end_.good) end_.why = status ? (*status)->to_string() : status.error().message();
  }
  if (limit_timer_) loop_.cancel(*std::exchange(limit_timer_, std::nullopt));
  if (!options_.is_guarded) {
    others_.erase(child_.pid);
    return finish();
  }
  clear_until_ = clock_.monotonic_now() + kClearLimit;
  clear();
}

void Step::clear() {
  const auto left = members();
  const bool waits = clock_.monotonic_now() < clear_until_;
  std::size_t others = 0;
  for (const auto& process : left.value_or(std::vector<os::TreeProcess>{})) {
    if (process.pid == child_.pid && process.is_zombie) continue;  // child_ended() reaps it
    os::kill_or_reap(process);
    ++others;
  }
  if (!child_.pidfd && left && others == 0) {
    others_.erase(child_.pid);
    return finish();
  }
  if (waits) return schedule(kClearInterval, &Step::clear);
  end_.good = false;
  if (!end_.was_stopped) end_.why = "left processes behind that cannot be ended";
  others_.erase(child_.pid);
  finish();
}

void Step::finish() {
  read(output_);  // what was printed last
  if (captured_.fd) read(captured_);
  if (!line_.empty()) end_line();
  if (end_.was_stopped) end_.good = false;
  release();
  const OnEnd on_end = std::exchange(on_end_, nullptr);
  if (on_end) on_end(std::move(end_));
}

void Step::release() {
  if (limit_timer_) loop_.cancel(*std::exchange(limit_timer_, std::nullopt));
  if (timer_) loop_.cancel(*std::exchange(timer_, std::nullopt));
  for (Stream* stream : {&output_, &captured_}) {
    if (stream->fd) loop_.unwatch(stream->fd.get());
    stream->fd.reset();
  }
  if (child_.pidfd) loop_.unwatch(child_.pidfd.get());
  others_.erase(child_.pid);
  child_ = {};
}

}  // namespace segue::builder
