// SPDX-License-Identifier: Apache-2.0
// Two processes: the keeper kills the first one without a word, and the second one then clears away
// what nobody wants any more.
#include "container/program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "base/log.h"
#include "container/command_line.h"
#include "container/instance_run.h"
#include "control/exit_code.h"
#include "control/name.h"
#include "os/clock.h"
#include "os/paths.h"
#include "os/process.h"
#include "runtime/engine_connection.h"

namespace segue::container {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using control::ExitCode;

constexpr int kLockFd = 4;     // where the keeper puts it
constexpr int kStarterFd = 5;  // of the second process: readable once the first one is gone
constexpr int kSignalBase = 128;
constexpr const char* kKeeperFd = "SEGUE_KEEPER_FD";  // not for programs without libsegue
constexpr std::initializer_list<int> kPassedOn = {SIGTERM, SIGINT,  SIGQUIT, SIGHUP,
                                                  SIGUSR1, SIGUSR2, SIGWINCH};

tl::unexpected<base::Error> no_keeper() {
  return fail(ErrorCode::failed_precondition,
              "segue-container is started by segue-keeper: use `segue run NAME --container IMAGE`");
}

std::string variable(const char* name) {
  const char* value = ::getenv(name);
  return value == nullptr ? "" : value;
}

std::optional<std::uint32_t> number_in(const std::string& text) {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// ---- --resolve: which image it is

Result<std::string> resolve(const CommandLine& line) {
  SEGUE_ASSIGN(const auto connection, runtime::EngineConnection::open(line.options.engine));
  const std::string& named =
      line.options.image_id.empty() ? line.options.image : line.options.image_id;
  SEGUE_ASSIGN(const auto image, connection->ask<runtime::Image>([&](auto on_answer) {
    return connection->engine().inspect_image(named, std::move(on_answer));
  }));
  return image.id;
}

// ---- The second process

Result<int> work(CommandLine line, const base::Log& log) {
  const auto channel = number_in(variable(kKeeperFd));
  const auto generation = number_in(variable("SEGUE_GENERATION"));
  const std::string name = variable("SEGUE_NAME");
  if (!generation || !control::check_name(name)) return no_keeper();
  SEGUE_ASSIGN(const auto directories, os::directories());
  const Place place{name, *generation, directories.runtime + "/" + name};
  Inheritance inheritance;
  os::UniqueFd signals;
  if (channel) {
    inheritance = {os::UniqueFd(static_cast<int>(*channel)), os::UniqueFd(kLockFd)};
  } else {
    SEGUE_ASSIGN(signals, os::signal_fd(kPassedOn));
  }
  os::UniqueFd starter(kStarterFd);
  for (const auto* fd : {&inheritance.channel, &inheritance.lock, &starter}) {
    if (*fd && ::fcntl(fd->get(), F_SETFD, FD_CLOEXEC) != 0) {
      return fail(base::errno_error("look at what the keeper gave", errno));
    }
  }
  SEGUE_ASSIGN(const auto connection, runtime::EngineConnection::open(line.options.engine));
  line.options.engine = connection->url();
  InstanceRun run(connection->loop(), connection->clock(), connection->engine(), log,
                  std::move(line), place, std::move(inheritance), std::move(starter),
                  std::move(signals));
  return run.run();
}

// ---- The first process

Result<int> start_and_wait(const std::vector<std::string>& words) {
  const auto channel = number_in(variable(kKeeperFd));
  if (!number_in(variable("SEGUE_GENERATION"))) return no_keeper();
  os::UniqueFd signals;  // those of a program that does not link libsegue come to this process
  if (!channel) {
    SEGUE_ASSIGN(signals, os::signal_fd(kPassedOn));
  }
  int ends[2] = {-1, -1};
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail(base::errno_error("make a pipe", errno));
  os::UniqueFd read_end(ends[0]);
  const os::UniqueFd write_end(ends[1]);  // closed when this process ends, however it does
  os::SpawnOptions options;
  std::error_code error;
  options.argv = {std::filesystem::read_symlink("/proc/self/exe", error).string(),
                  std::string(kWorkWord)};
  options.argv.insert(options.argv.end(), words.begin(), words.end());
  for (char** each = environ; *each != nullptr; ++each) options.env.emplace_back(*each);
  options.fds = {{read_end.get(), kStarterFd}};
  if (channel) {
    const int number = static_cast<int>(*channel);
    options.fds.insert(options.fds.end(), {{number, number}, {kLockFd, kLockFd}});
  }
  SEGUE_ASSIGN(const os::Child child, os::spawn(options));
  if (channel) {  // the instance's alone from here on
    ::close(static_cast<int>(*channel));
    ::close(kLockFd);
  }
  read_end.reset();
  while (true) {
    std::array<pollfd, 2> events{{{child.pidfd.get(), POLLIN, 0}, {signals.get(), POLLIN, 0}}};
    if (::poll(events.data(), events.size(), -1) < 0 && errno != EINTR) {
      return fail(base::errno_error("wait for the container", errno));
    }
    if (signals) {
      const auto signal = os::read_signal(signals);
      if (signal && *signal) (void)os::send_signal(child.pidfd, **signal);
    }
    SEGUE_ASSIGN(const auto status, os::wait_for_exit(child.pidfd, base::Duration(0)));
    if (status) return status->signal != 0 ? kSignalBase + status->signal : status->exit_code;
  }
}

// An instance that a signal has ended is said to have been ended by it.
int leave(int exit_code) {
  const int number = exit_code - kSignalBase;
  if (number != SIGKILL && number != SIGTERM) return exit_code;
  ::raise(number);
  return exit_code;
}

}  // namespace

int run_program(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  auto line = parse_command_line(words);
  if (!line) {
    fmt::print(stderr, "segue-container: {}\n", line.error().message());
    return static_cast<int>(ExitCode::usage);
  }
  if (line->help) {
    fmt::print("{}", usage_text());
    return 0;
  }
  if (line->resolves) {
    const auto id = resolve(*line);
    fmt::print("{}\n", id ? *id : id.error().message());
    return static_cast<int>(id ? ExitCode::done : ExitCode::refused);
  }
  const os::SystemClock clock;
  const base::Log log(
      {.fd = 2, .level = base::LogLevel::info, .now = [&] { return clock.realtime_now(); }});
  const bool works = line->works;
  const auto exit_code = works ? work(*std::move(line), log) : start_and_wait(words);
  if (!exit_code) {
    log.error("container.failed", {{"error", exit_code.error().to_string()}});
    return InstanceRun::kNotStarted;
  }
  return works ? *exit_code : leave(*exit_code);
}

}  // namespace segue::container
