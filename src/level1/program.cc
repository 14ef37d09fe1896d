// SPDX-License-Identifier: Apache-2.0
#include "level1/program.h"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/log.h"
#include "level1/bridge.h"
#include "level1/command_line.h"
#include "os/clock.h"
#include "os/process.h"
#include "os/unix_socket.h"

namespace segue::level1 {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr int kProgramFd = 3;
constexpr int kForwardedSignalBase = 128;  // a shell's way to say "killed by signal N"
constexpr base::Duration kReapLimit = std::chrono::seconds(2);

// What names this process's own way to libsegue is not the program's.
std::vector<std::string> environment_for_program() {
  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text = *variable;
    if (text.starts_with("SEGUE_KEEPER_FD=") || text.starts_with("SEGUE_DIRECTORY=") ||
        text.starts_with("SEGUE_LEVEL1_FD=")) {
      continue;
    }
    variables.emplace_back(text);
  }
  variables.push_back(fmt::format("SEGUE_LEVEL1_FD={}", kProgramFd));
  return variables;
}

int exit_code_of(const os::ExitStatus& status) {
  return status.signal != 0 ? kForwardedSignalBase + status.signal : status.exit_code;
}

class Runner {
 public:
  Runner(CommandLine line, const os::Clock& clock, const base::Log& log)
      : line_(std::move(line)), clock_(clock), log_(log) {}
  ~Runner() { kill_program(); }
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  Result<int> run() {
    SEGUE_ASSIGN(signals_, os::signal_fd({SIGTERM, SIGINT, SIGHUP}));
    SEGUE_ASSIGN(auto ends, os::socket_pair(os::SocketType::seqpacket, os::Blocking::no));
    SEGUE_TRY(start_program(ends.second));
    ends.second.reset();
    Channel channel(std::move(ends.first));
    SEGUE_ASSIGN(const Message hello, await_hello(channel));
    SEGUE_ASSIGN(bridge_, Bridge::create(std::move(channel), hello, line_.freeze_ms, clock_));
    SEGUE_TRY(bridge_->start());
    log_.info("level1.started", {{"program", line_.program.front()}, {"pid", program_.pid}});
    while (true) {
      SEGUE_ASSIGN(const auto exit, turn());
      if (exit) return *exit;
    }
  }

 private:
  // The program's end of the pair is left in blocking mode for it to choose.
  Result<void> start_program(const os::UniqueFd& end) {
    const int flags = ::fcntl(end.get(), F_GETFL);
    if (flags < 0 || ::fcntl(end.get(), F_SETFL, flags & ~O_NONBLOCK) != 0) {
      return fail(base::errno_error("make a socket block", errno));
    }
    const os::SpawnOptions options{.argv = line_.program,
                                   .env = environment_for_program(),
                                   .cwd = "",
                                   .fds = {{end.get(), kProgramFd}},
                                   .ends_with_parent = true};
    SEGUE_ASSIGN(program_, os::spawn(options));
    return {};
  }

  Result<Message> await_hello(Channel& channel) {
    const auto deadline = clock_.monotonic_now() + std::chrono::milliseconds(line_.start_ms);
    while (true) {
      const auto left =
          std::chrono::ceil<std::chrono::milliseconds>(deadline - clock_.monotonic_now());
      if (left.count() <= 0) {
        return fail(ErrorCode::deadline_exceeded,
                    "{} said no HELLO within {} ms: does it speak level 1 on SEGUE_LEVEL1_FD?",
                    line_.program.front(), line_.start_ms);
      }
      SEGUE_ASSIGN(auto received, channel.receive_within(static_cast<int>(left.count())));
      if (!received) continue;
      if (received->message.type == MessageType::hello) return std::move(received->message);
      return fail(ErrorCode::failed_precondition, "{} said {} before HELLO", line_.program.front(),
                  name_of(received->message.type));
    }
  }

  // The exit code, once all is over.
  Result<std::optional<int>> turn() {
    const short on_channel = bridge_->channel().wants_to_write() ? POLLIN | POLLOUT : POLLIN;
    std::array<pollfd, 4> entries{{{bridge_->segue_descriptor(), POLLIN, 0},
                                   {bridge_->channel().fd(), on_channel, 0},
                                   {program_.pidfd.get(), POLLIN, 0},
                                   {signals_.get(), POLLIN, 0}}};
    if (channel_closed_) entries[1].fd = -1;
    if (bridge_->ending()) entries[0].fd = -1;
    if (::poll(entries.data(), entries.size(), timeout_ms()) < 0 && errno != EINTR) {
      return fail(base::errno_error("poll", errno));
    }
    if (entries[1].revents != 0) SEGUE_TRY(on_channel_ready());
    if (entries[2].revents != 0) return on_program_end();
    if (entries[3].revents != 0) SEGUE_TRY(forward_signal());
    if (entries[0].revents != 0) bridge_->dispatch_segue();
    SEGUE_TRY(bridge_->take_failure());
    if (bridge_->ending() && !end_deadline_) {
      end_deadline_ = clock_.monotonic_now() + std::chrono::milliseconds(line_.end_ms);
    }
    if (end_deadline_ && clock_.monotonic_now() >= *end_deadline_) {
      log_.warning("level1.killed", {{"pid", program_.pid}, {"after_ms", line_.end_ms}});
      kill_program();
      return bridge_->ending() ? exit_code_for(*bridge_->ending()) : 1;
    }
    return std::nullopt;
  }

  [[nodiscard]] int timeout_ms() const {
    if (!end_deadline_) return -1;
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(*end_deadline_ - clock_.monotonic_now());
    return static_cast<int>(std::max<std::int64_t>(left.count(), 0));
  }

  // A program that closes its end is about to end; its pidfd tells.
  Result<void> on_channel_ready() {
    auto done = bridge_->on_channel();
    if (done) return {};
    if (done.error().code() != ErrorCode::unavailable && !bridge_->ending()) return done;
    channel_closed_ = true;
    if (!end_deadline_) {
      end_deadline_ = clock_.monotonic_now() + std::chrono::milliseconds(line_.end_ms);
    }
    return {};
  }

  Result<void> forward_signal() {
    SEGUE_ASSIGN(const auto signal, os::read_signal(signals_));
    if (!signal) return {};
    // It may have ended meanwhile.
    (void)os::send_signal(program_.pidfd, *signal);
    return {};
  }

  Result<std::optional<int>> on_program_end() {
    SEGUE_ASSIGN(const auto status, os::wait_for_exit(program_.pidfd, kReapLimit));
    program_.pidfd.reset();
    if (bridge_->ending()) return exit_code_for(*bridge_->ending());
    bridge_->program_ended();
    log_.info("level1.program_ended", {{"how", status ? status->to_string() : "unknown"}});
    return status ? exit_code_of(*status) : 1;
  }

  [[nodiscard]] int exit_code_for(segue_end_reason reason) const {
    if (reason != SEGUE_END_REFUSED) return 0;
    log_.error("level1.refused", {{"why", bridge_->error()}});
    return 1;
  }

  void kill_program() {
    if (!program_.pidfd) return;
    (void)os::send_signal(program_.pidfd, SIGKILL);
    (void)os::wait_for_exit(program_.pidfd, kReapLimit);
    program_.pidfd.reset();
  }

  CommandLine line_;
  const os::Clock& clock_;
  const base::Log& log_;
  os::UniqueFd signals_;
  os::Child program_;
  std::unique_ptr<Bridge> bridge_;
  std::optional<base::MonotonicTime> end_deadline_;
  bool channel_closed_ = false;
};

}  // namespace

int run_program(int argc, char** argv) {
  auto line = parse_command_line(std::vector<std::string>(argv + 1, argv + argc));
  if (!line) {
    fmt::print(stderr, "segue-level1: {}\n", line.error().message());
    return 2;
  }
  if (line->help) {
    fmt::print("{}", usage_text());
    return 0;
  }
  const os::SystemClock clock;
  const base::Log log(
      {.fd = 2, .level = base::LogLevel::info, .now = [&] { return clock.realtime_now(); }});
  const auto exit = Runner(*std::move(line), clock, log).run();
  if (exit) return *exit;
  log.error("level1.failed", {{"error", exit.error().to_string()}});
  return 1;
}

}  // namespace segue::level1
