// SPDX-License-Identifier: Apache-2.0
#include "keeper/program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "base/log.h"
#include "control/name.h"
#include "keeper/keeper.h"
#include "os/files.h"
#include "os/paths.h"
#include "os/sealed_memory.h"

namespace segue::keeper {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using control::ExitCode;

constexpr std::size_t kMaxPidFileBytes = 4'096;

Result<os::UniqueFd> open_lock(const std::string& path) {
  os::UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return fail(base::errno_error("open " + path, errno));
  return fd;
}

bool take(const os::UniqueFd& fd) {
  return ::flock(fd.get(), LOCK_EX | LOCK_NB) == 0;
}

std::string pids_in(const std::string& path) {
  const auto text = os::read_file(path, kMaxPidFileBytes).value_or("");
  std::string pids;
  for (std::size_t start = 0; start < text.size(); start = text.find('\n', start) + 1) {
    if (!pids.empty()) pids += ' ';
    pids += text.substr(start, text.find_first_of(" \n", start) - start);
    if (text.find('\n', start) == std::string::npos) break;
  }
  return pids;
}

std::vector<std::string> environment() {
  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable)
    variables.emplace_back(*variable);
  return variables;
}

// Says it to whoever started this process: over the client's socket, and on stderr.
int report_failure(const std::string& name, const os::UniqueFd& client, ExitCode exit,
                   const std::string& text) {
  if (client) {
    (void)os::send_message(client, last_reply(name, exit, text, nullptr, {}));
  } else {
    fmt::print(stderr, "segue-keeper: {}\n", text);
  }
  return static_cast<int>(exit);
}

ExitCode exit_for(const base::Error& error) {
  switch (error.code()) {
    case ErrorCode::failed_precondition:
    case ErrorCode::already_exists:
      return ExitCode::refused;
    default:
      return ExitCode::failed;
  }
}

// Says whether this program could go on from the state of another one.
int check_state(int fd) {
  const auto bytes = os::read_sealed_memory(fd, kMaxStateBytes);
  const auto state = bytes ? decode_state(*bytes) : Result<SavedState>(fail(bytes.error()));
  if (!state) {
    fmt::print("{}\n", state.error().message());
    return static_cast<int>(ExitCode::refused);
  }
  fmt::print("it reads states of version {}\n", kStateVersion);
  return static_cast<int>(ExitCode::done);
}

Result<ExitCode> resume(const os::Clock& clock, const CommandLine& line) {
  os::UniqueFd memory(line.resume_fd);
  SEGUE_ASSIGN(const std::string bytes, os::read_sealed_memory(memory.get(), kMaxStateBytes));
  memory.reset();  // it is not closed on exec
  SEGUE_ASSIGN(SavedState state, decode_state(bytes));
  SEGUE_ASSIGN(const auto directories, os::directories());
  ComponentPaths paths{directories.runtime + "/" + line.name, directories.state + "/" + line.name};
  SEGUE_ASSIGN(auto keeper,
               Keeper::resume(clock, std::move(state), std::move(paths), environment()));
  return keeper->run();
}

Result<ExitCode> keep(const os::Clock& clock, CommandLine line) {
  SEGUE_ASSIGN(const auto directories, os::directories());
  ComponentPaths paths{directories.runtime + "/" + line.name, directories.state + "/" + line.name};
  const std::string name = line.name;
  SEGUE_ASSIGN(auto locks, lock_component(paths, name));
  if (locks.instances_alive || programs_are_left(paths)) {
    auto adopted = Keeper::adopt(clock, line, paths, locks, environment());
    if (adopted) return (*adopted)->run();
    if (adopted.error().code() != ErrorCode::not_found || !take(locks.instances)) {
      return fail(std::move(adopted).error());
    }
    locks.instances_alive = false;  // they have ended meanwhile
  }
  if (line.launch.argv.empty()) {
    return fail(ErrorCode::failed_precondition,
                "nothing of {} serves: start it with `segue run {} -- PROGRAM`", name, name);
  }
  SEGUE_ASSIGN(auto keeper, Keeper::create(clock, std::move(line), std::move(paths),
                                           std::move(locks), environment()));
  return keeper->run();
}

}  // namespace

Result<ComponentLocks> lock_component(const ComponentPaths& paths, const std::string& name) {
  SEGUE_TRY(os::ensure_private_directory(paths.runtime));
  SEGUE_TRY(os::ensure_private_directory(paths.state));
  ComponentLocks locks;
  const std::string pid_file = paths.runtime + "/" + std::string(control::kKeeperPid);
  SEGUE_ASSIGN(locks.keeper, open_lock(pid_file));
  if (!take(locks.keeper)) {
    return fail(ErrorCode::failed_precondition,
                "{} runs already (keeper: pid {}): to change its program, use `segue upgrade {}`",
                name, pids_in(pid_file), name);
  }
  SEGUE_ASSIGN(locks.instances,
               open_lock(paths.runtime + "/" + std::string(control::kInstancesLock)));
  locks.instances_alive = !take(locks.instances);
  const std::string pid = fmt::format("{}\n", ::getpid());
  if (::ftruncate(locks.keeper.get(), 0) != 0 ||
      ::pwrite(locks.keeper.get(), pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
    return fail(base::errno_error("write " + pid_file, errno));
  }
  return locks;
}

base::Error instances_in_the_way(const ComponentPaths& paths, const std::string& name,
                                 std::string_view why) {
  const std::string pids = pids_in(paths.runtime + "/" + std::string(control::kInstances));
  return {
      ErrorCode::failed_precondition,
      fmt::format("{} still serves, without a keeper: {}; end its instances first (kill {}), then "
                  "run it again",
                  name, why, pids.empty() ? "PID" : pids)};
}

int run_program(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  auto line = parse_command_line(words);
  if (!line) {
    return report_failure("", {}, ExitCode::usage, line.error().message());
  }
  if (line->help) {
    fmt::print("{}", usage_text());
    return 0;
  }
  if (line->check_state_fd >= 0) return check_state(line->check_state_fd);
  if (line->client_fd >= 0) {
    if (const auto detached = os::detach_from_terminal(); !detached) {
      return report_failure(line->name, {}, ExitCode::failed, detached.error().to_string());
    }
  }
  const os::SystemClock clock;
  const base::Log log(
      {.fd = 2, .level = base::LogLevel::info, .now = [&] { return clock.realtime_now(); }});
  const std::string name = line->name;
  const int client_fd = line->client_fd;
  // A client that was adopted is answered by the keeper; a copy tells it of what fails before.
  const os::UniqueFd client_copy(client_fd < 0 ? -1 : ::fcntl(client_fd, F_DUPFD_CLOEXEC, 3));
  const auto exit = line->resume_fd >= 0 ? resume(clock, *line) : keep(clock, *std::move(line));
  if (!exit) {
    log.error("keeper.failed", {{"name", name}, {"error", exit.error().to_string()}});
    return report_failure(name, client_copy, exit_for(exit.error()), exit.error().message());
  }
  log.info("keeper.ended", {{"name", name}, {"exit", static_cast<int>(*exit)}});
  return static_cast<int>(*exit);
}

}  // namespace segue::keeper
