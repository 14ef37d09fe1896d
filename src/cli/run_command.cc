// SPDX-License-Identifier: Apache-2.0
// segue run: starts a keeper and waits until the program serves.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <system_error>

#include "cli/commands.h"
#include "cli/container_program.h"
#include "cli/keeper_client.h"
#include "cli/program_file.h"
#include "control/name.h"
#include "control/reply.h"
#include "os/files.h"
#include "os/process.h"
#include "os/unix_socket.h"

namespace segue::cli {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using control::ExitCode;

constexpr int kClientFd = 3;
constexpr std::uintmax_t kMaxKeeperLogBytes = 1 << 20;

Result<std::vector<std::string>> keeper_words(const std::string& keeper, const Arguments& arguments,
                                              const control::Launch& launch) {
  control::Request request;
  control::append_options(request, arguments.run);
  control::append_options(request, arguments.contract);
  control::append_options(request, arguments.attempt);  // its health checks
  if (!launch.argv.empty()) control::append_launch(request, launch);
  for (const auto& setting : arguments.settings) SEGUE_TRY(control::set_option(request, setting));
  std::vector<std::string> words = {keeper, arguments.name};
  for (const auto& option : request.options)
    words.push_back("--" + option.key + "=" + option.value);
  words.push_back(arguments.foreground ? "--foreground" : fmt::format("--client-fd={}", kClientFd));
  if (arguments.command == Command::keeper_start) {
    words.emplace_back("--adopt");
    return words;
  }
  words.emplace_back("--");
  words.insert(words.end(), request.program.begin(), request.program.end());
  return words;
}

std::vector<std::string> environment() {
  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable)
    variables.emplace_back(*variable);
  return variables;
}

// Becomes the keeper; returns only if that fails.
base::Error become(std::vector<std::string> words) {
  std::vector<char*> pointers;
  pointers.reserve(words.size() + 1);
  for (auto& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  ::execv(pointers.front(), pointers.data());
  return base::errno_error("start " + words.front(), errno);
}

Result<os::UniqueFd> open_keeper_log(const std::string& folder) {
  SEGUE_TRY(os::ensure_private_directory(folder));
  const std::string path = folder + "/" + std::string(control::kKeeperLog);
  std::error_code error;
  if (const auto size = std::filesystem::file_size(path, error);
      !error && size > kMaxKeeperLogBytes) {
    std::filesystem::rename(path, path + ".1", error);
  }
  os::UniqueFd log(
      ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!log) return fail(base::errno_error("open " + path, errno));
  return log;
}

Result<Json> start_keeper(const Context& context, const std::vector<std::string>& words) {
  const Arguments& arguments = context.arguments;
  SEGUE_ASSIGN(const os::UniqueFd log, open_keeper_log(context.folders.state(arguments.name)));
  const os::UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return fail(base::errno_error("open /dev/null", errno));
  SEGUE_ASSIGN(auto ends, os::socket_pair(os::SocketType::seqpacket, os::Blocking::yes));
  const os::SpawnOptions options{
      .argv = words,
      .env = environment(),
      .cwd = "/",
      .fds = {{null.get(), 0}, {log.get(), 1}, {log.get(), 2}, {ends.second.get(), kClientFd}}};
  SEGUE_ASSIGN(const os::Child child, os::spawn(options));
  ends.second.reset();
  KeeperClient client(std::move(ends.first));
  const base::Duration limit =
      std::chrono::milliseconds(arguments.run.start_ms) + KeeperClient::kAnswerLimit;
  auto reply = client.receive(limit, [&](const Json& part) {
    if (const auto queued = part.find(control::reply::kQueued); queued != part.end()) {
      context.output.note("waiting for " + queued->get<std::string>());
    }
  });
  if (reply || reply.error().code() != ErrorCode::unknown_outcome) return reply;
  return fail(ErrorCode::internal, "the keeper of {} ended at once: see {}/{}", arguments.name,
              context.folders.state(arguments.name), control::kKeeperLog);
}

// An error: it cannot be started now, and nothing was touched.
Result<void> check_not_running(const Context& context) {
  const std::string& name = context.arguments.name;
  SEGUE_TRY(control::check_name(name));
  const auto connected = context.folders.connect(name);
  if (connected) {
    return fail(ErrorCode::already_exists,
                "{} runs already: to change its program, use `segue upgrade {} PROGRAM`", name,
                name);
  }
  switch (connected.error().code()) {
    case ErrorCode::not_found:
    case ErrorCode::unavailable:  // not running, or a dead keeper: the new one knows for certain
      return {};
    default:
      return fail(connected.error());
  }
}

void print_plan(const Context& context, const control::Launch& launch, const std::string& keeper) {
  const Output& output = context.output;
  output.print(fmt::format("1. {} starts as the keeper of {}, in {}", keeper,
                           context.arguments.name,
                           context.folders.runtime(context.arguments.name)));
  for (const auto& listen : context.arguments.contract.listen) {
    output.print(fmt::format("   it binds {}", control::to_string(listen)));
  }
  output.print(fmt::format("2. it starts {} in {}, and waits {} ms at most until it serves",
                           program_text(context.arguments, launch.argv.front()), launch.cwd,
                           context.arguments.run.start_ms));
}

}  // namespace

ExitCode run(const Context& context) {
  const Arguments& arguments = context.arguments;
  Output& output = context.output;
  if (auto free = check_not_running(context); !free) return output.fail(free.error());
  if (const auto fine = control::check_contract(arguments.contract); !fine) {
    return output.fail(fine.error());
  }
  const bool adopts = arguments.command == Command::keeper_start;
  const auto launch = adopts ? Result<control::Launch>(control::Launch{})
                             : make_launch(arguments.program, arguments.cwd, arguments.env);
  if (!launch) return output.fail(launch.error());
  const auto keeper = find_keeper();
  if (!keeper) return output.fail(keeper.error());
  if (arguments.dry_run && adopts) {
    output.print(fmt::format("1. {} starts as the keeper of {}", *keeper, arguments.name));
    output.print("2. what a dead keeper of it has left comes to it, and nothing is started");
    return output.finish(ExitCode::done, fmt::format("{} would have a keeper", arguments.name));
  }
  if (arguments.dry_run) {
    print_plan(context, *launch, *keeper);
    return output.finish(ExitCode::done, fmt::format("{} would be started", arguments.name));
  }
  const auto words = keeper_words(*keeper, arguments, *launch);
  if (!words) return output.fail(words.error());
  if (arguments.foreground) return output.fail(become(*words));
  const auto reply = start_keeper(context, *words);
  if (!reply) return output.fail(reply.error());
  return output.finish(*reply);
}

}  // namespace segue::cli
