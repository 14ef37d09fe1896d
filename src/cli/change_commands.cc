// SPDX-License-Identifier: Apache-2.0
// segue upgrade, rehearse, undo, stop: asks the keeper and shows how it goes.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <memory>

#include "cli/commands.h"
#include "cli/container_program.h"
#include "cli/keeper_client.h"
#include "cli/program_file.h"
#include "cli/progress_text.h"
#include "control/reply.h"
#include "control/text.h"
#include "os/process.h"
#include "os/unix_socket.h"

namespace segue::cli {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using control::ExitCode;
using std::chrono::milliseconds;

constexpr std::uint32_t kDefaultBackgroundMs = 300'000;
constexpr std::uint32_t kDefaultRehearsalMs = 60'000;
constexpr base::Duration kSilenceMargin = std::chrono::seconds(120);

// The keeper does not ask name servers; this process may.
Result<std::string> numeric_target(const std::string& text) {
  SEGUE_ASSIGN(const auto target, control::parse_host_port(text));
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* raw = nullptr;
  const int error =
      ::getaddrinfo(target.host.c_str(), fmt::to_string(target.port).c_str(), &hints, &raw);
  if (error != 0) {
    return fail(ErrorCode::invalid_argument, "--health-tcp {}: {}", text, ::gai_strerror(error));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> found(raw, &::freeaddrinfo);
  std::array<char, NI_MAXHOST> host{};
  ::getnameinfo(found->ai_addr, found->ai_addrlen, host.data(), host.size(), nullptr, 0,
                NI_NUMERICHOST);
  const bool v6 = found->ai_family == AF_INET6;
  return fmt::format("{}{}{}:{}", v6 ? "[" : "", host.data(), v6 ? "]" : "", target.port);
}

std::string_view word_of(Command command) {
  switch (command) {
    case Command::upgrade:
      return "upgrade";
    case Command::rehearse:
      return "rehearse";
    case Command::undo:
      return "undo";
    default:
      return "stop";
  }
}

Result<control::Request> make_request(const Arguments& arguments) {
  control::Request request{std::string(word_of(arguments.command)), {}, {}};
  if (arguments.command == Command::stop) return request;
  control::AttemptOptions options = arguments.attempt;
  if (!options.health_tcp.empty()) {
    SEGUE_ASSIGN(options.health_tcp, numeric_target(options.health_tcp));
  }
  control::append_options(request, options);
  if (arguments.command == Command::undo) return request;
  SEGUE_ASSIGN(const auto launch, make_launch(arguments.program, arguments.cwd, arguments.env));
  control::append_launch(request, launch);
  for (const auto& setting : arguments.settings) SEGUE_TRY(control::set_option(request, setting));
  return request;
}

// Longer than any phase lasts without a word from the keeper.
base::Duration silence_limit(const Arguments& arguments) {
  const auto& options = arguments.attempt;
  const std::uint32_t longest =
      std::max({options.background_ms.value_or(kDefaultBackgroundMs),
                options.rehearsal_ms.value_or(kDefaultRehearsalMs), options.probation_ms,
                options.start_ms, options.turn_ms, arguments.run.grace_ms * 2});
  return milliseconds(longest) + kSilenceMargin;
}

// What the other version cannot hold (src/keeper/losses.h).
std::vector<std::string> loss_lines(const Json& losses) {
  return losses.value("lines", std::vector<std::string>{});
}

Result<Json> ask_undo_losses(const Context& context) {
  SEGUE_ASSIGN(auto socket, context.folders.connect(context.arguments.name));
  KeeperClient client(std::move(socket));
  SEGUE_TRY(client.send({"undo-losses", {}, {}}));
  // Each record of the state is looked at.
  SEGUE_ASSIGN(const Json reply, client.receive(kSilenceMargin, [](const Json&) {}));
  if (reply.contains(control::reply::kLosses)) return reply.at(control::reply::kLosses);
  return Json{{"known", false},
              {"lost", false},
              {"lines", {"what the older version cannot hold is not known: the keeper is older"}}};
}

class ProgressView {
 public:
  explicit ProgressView(Output& output) : output_(output) {}

  void show(const Json& reply) {
    output_.print_json(reply);
    if (const auto queued = reply.find(control::reply::kQueued); queued != reply.end()) {
      output_.note("waiting: " + queued->get<std::string>());
      return;
    }
    if (const auto losses = reply.find(control::reply::kLosses); losses != reply.end()) {
      for (const auto& line : loss_lines(*losses)) output_.note(line);
      return;
    }
    const auto progress = reply.find(control::reply::kProgress);
    if (progress == reply.end() || !progress->is_object()) return;
    const std::string phase = progress->value("keeper_phase", "");
    if (output_.is_terminal()) return output_.live(progress_line(*progress, phase));
    const std::string key = progress_key(*progress, phase);
    if (key != last_key_) output_.note(progress_line(*progress, phase));
    last_key_ = key;
  }

 private:
  Output& output_;
  std::string last_key_;
};

void print_handoff_plan(const Context& context, const Json& status, const std::string& program,
                        bool switches) {
  const auto& options = context.arguments.attempt;
  Output& output = context.output;
  const std::string from = control::version_text(status.value("version", "?"));
  int step = 0;
  const auto line = [&](const std::string& text) {
    output.print(fmt::format("{}. {}", ++step, text));
  };
  line(fmt::format("{} starts beside {} (pid {})", program, from, status.value("pid", 0)));
  line(fmt::format("background: {} and the state travel while {} serves",
                   control::counted(status.value("connections", 0U), "connection"), from));
  if (!options.no_rehearsal) {
    line("rehearsal: the state is decoded, encoded again and compared");
  }
  if (!switches) return line("the new process ends; nothing was changed");
  line(
      fmt::format("foreground: {} freezes, the rest travels, the new version serves; blackout at "
                  "most {} us, or {} goes on",
                  from, options.budget_us.value_or(10'000), from));
  line(fmt::format(
      "probation: {} ms{}{}; {} waits frozen, to take over again", options.probation_ms,
      options.health_cmd.empty() ? "" : ", --health-cmd has to be content",
      options.health_tcp.empty() ? "" : ", " + options.health_tcp + " has to accept", from));
  line(fmt::format("commit: {} ends", from));
}

// Of a program that does not link libsegue (docs/programs.md).
void print_contract_plan(const Context& context, const Json& status, const std::string& program,
                         const std::string& contract) {
  const auto& options = context.arguments.attempt;
  Output& output = context.output;
  const std::string old = fmt::format("the running program (pid {})", status.value("pid", 0));
  const bool restarts = contract == "restart" || contract == "fdstore";
  const bool waits = !status.value("listeners", Json::array()).empty();
  int step = 0;
  const auto line = [&](const std::string& text) {
    output.print(fmt::format("{}. {}", ++step, text));
  };
  if (restarts) {
    line(
        fmt::format("{} is told to end and drains; at its limit what is left is cut; new "
                    "connections {}",
                    old, waits ? "wait" : "are refused until the new one listens"));
    line(fmt::format("{} starts{}, and shows that it is ready", program,
                     contract == "fdstore" ? " with what was stored" : ""));
  } else if (contract == "signal") {
    line(fmt::format("{} is signalled to start {} beside itself", old, program));
  } else {
    line(fmt::format("{} starts beside {} on the same sockets, and shows that it is ready", program,
                     old));
  }
  line(fmt::format("probation: {} ms with the health checks; where it is bad, the old program {}",
                   options.probation_ms, restarts ? "is started again" : "goes on"));
  if (!restarts) {
    line(fmt::format("{} is told to end and drains; at its limit what is left is cut", old));
  }
}

ExitCode dry_run(const Context& context, const control::Request& request, const Json& status) {
  const Arguments& arguments = context.arguments;
  Output& output = context.output;
  const std::string& name = arguments.name;
  const std::string phase = status.value("phase", "");
  if (arguments.command == Command::stop) {
    output.print(
        fmt::format("1. {} (pid {}) is told to end, after {} ms with SIGTERM, then SIGKILL",
                    control::version_text(status.value("version", "?")), status.value("pid", 0),
                    arguments.run.grace_ms));
    output.print(fmt::format("2. the keeper (pid {}) ends", status.value("keeper_pid", 0)));
    return output.finish(ExitCode::done, name + " would be stopped");
  }
  if (phase != "serving" && !(arguments.command == Command::undo && phase == "probation")) {
    return output.finish(ExitCode::refused,
                         fmt::format("{} could not be changed now: it is {}", name, phase));
  }
  std::string program = "the previous version";
  if (arguments.command != Command::undo) {
    program = program_text(arguments, request.program.front());
  } else if (phase == "serving") {
    if (!status.contains("previous") || !status.at("previous").is_string()) {
      return output.finish(ExitCode::refused, name + " has nothing to go back to");
    }
    program = status.at("previous").get<std::string>();
  }
  if (const std::string contract = status.value("upgrade", "libsegue"); contract != "libsegue") {
    if (arguments.command == Command::rehearse) {
      return output.finish(ExitCode::refused,
                           fmt::format("{} could not be rehearsed: the contract '{}' moves no "
                                       "state that could be compared",
                                       name, contract));
    }
    print_contract_plan(context, status, program, contract);
  } else {
    if (arguments.command == Command::undo) {
      const auto losses = ask_undo_losses(context);
      if (!losses) return output.fail(losses.error());
      output.print_json(Json{{control::reply::kLosses, *losses}});
      for (const auto& line : loss_lines(*losses)) output.print("before: " + line);
      if (arguments.attempt.refuse_loss &&
          (losses->value("lost", true) || !losses->value("known", false))) {
        return output.finish(ExitCode::refused, name + " would not be handed back (--refuse-loss)");
      }
    } else {
      output.print(
          "before: where its forms are older, what they cannot hold is said once it has started");
    }
    print_handoff_plan(context, status, program, arguments.command != Command::rehearse);
  }
  return output.finish(ExitCode::done,
                       fmt::format("{} would be {}", name,
                                   arguments.command == Command::undo       ? "handed back"
                                   : arguments.command == Command::rehearse ? "rehearsed"
                                                                            : "upgraded"));
}

// The keeper, as something that can be waited for; empty: it is of another PID namespace.
os::UniqueFd keeper_at(const os::UniqueFd& socket) {
  const auto peer = os::peer_credentials(socket);
  if (!peer || peer->pid <= 0) return {};
  auto keeper = os::open_process(peer->pid);
  return keeper ? *std::move(keeper) : os::UniqueFd();
}

// Its last word is not its end, and until then its name is taken.
void await_end(const os::UniqueFd& keeper) {
  if (!keeper) return;
  pollfd ended{.fd = keeper.get(), .events = POLLIN, .revents = 0};
  const auto limit = std::chrono::duration_cast<milliseconds>(KeeperClient::kAnswerLimit);
  (void)::poll(&ended, 1, static_cast<int>(limit.count()));
}

}  // namespace

Result<Json> ask_status(const ComponentFolders& folders, const std::string& name) {
  SEGUE_ASSIGN(auto socket, folders.connect(name));
  SEGUE_ASSIGN(const Json reply, KeeperClient(std::move(socket)).ask({"status", {}, {}}));
  if (!reply.contains("status")) {
    return fail(ErrorCode::internal, "{}",
                reply.value("text", "the keeper did not say its status"));
  }
  Json status = reply.at("status");
  describe_containers(folders, name, status);
  return status;
}

ExitCode change(const Context& context) {
  const Arguments& arguments = context.arguments;
  Output& output = context.output;
  auto socket = context.folders.connect(arguments.name);
  if (!socket) return output.fail(socket.error());
  const auto request = make_request(arguments);
  if (!request) return output.fail(request.error());
  if (arguments.dry_run) {
    const auto status = ask_status(context.folders, arguments.name);
    return status ? dry_run(context, *request, *status) : output.fail(status.error());
  }
  const os::UniqueFd stopped =
      arguments.command == Command::stop ? keeper_at(*socket) : os::UniqueFd();
  KeeperClient client(*std::move(socket));
  if (auto sent = client.send(*request); !sent) return output.fail(sent.error());
  ProgressView view(output);
  const auto reply =
      client.receive(silence_limit(arguments), [&](const Json& part) { view.show(part); });
  if (!reply) return output.fail(reply.error());
  if (reply->value("exit", 1) == 0) await_end(stopped);
  return output.finish(*reply);
}

}  // namespace segue::cli
