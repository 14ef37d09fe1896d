// SPDX-License-Identifier: Apache-2.0
// segue status, history, events.
#include <fmt/format.h>
#include <poll.h>

#include "cli/commands.h"
#include "cli/keeper_client.h"
#include "cli/progress_text.h"
#include "control/name.h"
#include "control/reply.h"
#include "os/files.h"

namespace segue::cli {
namespace {

using base::Result;
using control::ExitCode;

constexpr int kWatchIntervalMs = 200;
constexpr std::size_t kMaxHistoryBytes = std::size_t{4} << 20;

// What can be said of one component, as an object; a component that does not run has an `error`.
Json status_or_error(const ComponentFolders& folders, const std::string& name) {
  auto status = ask_status(folders, name);
  if (status) return *std::move(status);
  return {{"name", name}, {"phase", "not running"}, {"error", status.error().message()}};
}

std::vector<std::string> lines_for(const Json& status) {
  if (!status.contains("error")) return status_lines(status);
  return {fmt::format("{}: {}", status.value("name", ""), status.value("error", ""))};
}

ExitCode show_all(const Context& context) {
  Json all = Json::array();
  for (const auto& name : context.folders.names())
    all.push_back(status_or_error(context.folders, name));
  const Output& output = context.output;
  output.print_json(Json{{"done", true}, {"exit", 0}, {"components", all}});
  if (output.json()) return ExitCode::done;
  if (all.empty()) {
    output.print("nothing runs here: start a component with `segue run NAME -- PROGRAM`");
  }
  for (const auto& status : all) {
    if (status.contains("error")) {
      output.print(lines_for(status).front());
    } else {
      output.print(status_line(status));
    }
  }
  return ExitCode::done;
}

// Draws over what it drew before; the terminal's own scrolling keeps the rest.
void redraw(Output& output, const std::vector<std::string>& lines, std::size_t& drawn) {
  std::string screen = drawn == 0 ? "" : fmt::format("\x1b[{}A", drawn);
  for (const auto& line : lines) screen += "\x1b[K" + line + "\n";
  for (std::size_t i = lines.size(); i < drawn; ++i) screen += "\x1b[K\n";
  drawn = std::max(drawn, lines.size());
  screen.pop_back();
  output.print(screen);
}

// Until the component is gone, or the user has seen enough (an interrupt).
ExitCode watch(const Context& context) {
  Output& output = context.output;
  const std::string& name = context.arguments.name;
  std::size_t drawn = 0;
  std::string last;
  while (true) {
    auto status = ask_status(context.folders, name);
    if (!status && status.error().code() == base::ErrorCode::unknown_outcome) {
      status = ask_status(context.folders, name);  // it ended while it was asked, or was replaced
    }
    if (!status) return output.fail(status.error());
    if (output.is_terminal() && !output.json()) {
      redraw(output, status_lines(*status), drawn);
    } else if (const std::string line = status_line(*status); line != last) {
      output.print(line);
      output.print_json(Json{{"status", *status}});
      last = line;
    }
    ::poll(nullptr, 0, kWatchIntervalMs);
  }
}

// Without a keeper, what the last one wrote down.
Result<Json> recorded_history(const std::string& folder) {
  SEGUE_ASSIGN(const std::string text,
               os::read_file(folder + "/" + std::string(control::kHistoryLog), kMaxHistoryBytes));
  Json attempts = Json::array();
  std::size_t start = 0;
  for (std::size_t end = 0; (end = text.find('\n', start)) != std::string::npos; start = end + 1) {
    Json attempt = Json::parse(text.substr(start, end - start), nullptr, false);
    if (attempt.is_object()) attempts.push_back(std::move(attempt));
  }
  return attempts;
}

}  // namespace

ExitCode show_status(const Context& context) {
  if (context.arguments.name.empty()) {
    if (!context.arguments.watch) return show_all(context);
    return context.output.finish(ExitCode::usage, "--watch needs the NAME of a component");
  }
  if (context.arguments.watch) return watch(context);
  const auto status = ask_status(context.folders, context.arguments.name);
  if (!status) return context.output.fail(status.error());
  for (const auto& line : status_lines(*status)) context.output.print(line);
  context.output.print_json(Json{{"done", true}, {"exit", 0}, {"status", *status}});
  return ExitCode::done;
}

ExitCode show_history(const Context& context) {
  Output& output = context.output;
  const std::string& name = context.arguments.name;
  Json attempts = Json::array();
  auto socket = context.folders.connect(name);
  if (socket) {
    KeeperClient client(*std::move(socket));
    if (auto sent = client.send({"history", {}, {}}); !sent) return output.fail(sent.error());
    const auto last = client.receive(KeeperClient::kAnswerLimit, [&](const Json& reply) {
      if (reply.contains(control::reply::kAttempt)) attempts.push_back(reply.at("attempt"));
    });
    if (!last) return output.fail(last.error());
  } else {
    auto recorded = control::check_name(name) ? recorded_history(context.folders.state(name))
                                              : Result<Json>(base::fail(socket.error()));
    if (!recorded) return output.fail(socket.error());
    attempts = *std::move(recorded);
  }
  const std::size_t last = context.arguments.last.value_or(attempts.size());
  if (attempts.size() > last)
    attempts.erase(attempts.begin(), attempts.end() - static_cast<std::ptrdiff_t>(last));
  for (const auto& attempt : attempts) output.print(history_line(attempt));
  if (attempts.empty()) output.print(name + " has not been upgraded yet");
  output.print_json(Json{{"done", true}, {"exit", 0}, {"history", attempts}});
  return ExitCode::done;
}

ExitCode show_events(const Context& context) {
  Output& output = context.output;
  auto socket = context.folders.connect(context.arguments.name);
  if (!socket) return output.fail(socket.error());
  KeeperClient client(*std::move(socket));
  control::Request request{"events", {}, {}};
  if (context.arguments.follow) request.options.push_back({"follow", "1"});
  if (auto sent = client.send(request); !sent) return output.fail(sent.error());
  const base::Duration limit =
      context.arguments.follow ? std::chrono::hours(24 * 365) : KeeperClient::kAnswerLimit;
  const auto last = client.receive(limit, [&](const Json& reply) {
    if (!reply.contains(control::reply::kEvent)) return;
    output.print(event_line(reply.at("event")));
    output.print_json(reply.at("event"));
  });
  // Who follows sees the end of the component as the end of the events.
  if (!last && context.arguments.follow &&
      last.error().code() == base::ErrorCode::unknown_outcome) {
    return ExitCode::done;
  }
  if (!last) return output.fail(last.error());
  return ExitCode::done;
}

}  // namespace segue::cli
