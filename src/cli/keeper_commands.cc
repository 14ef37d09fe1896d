// SPDX-License-Identifier: Apache-2.0
// segue keeper …: what concerns the keeper and not its component.
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/keeper_client.h"
#include "cli/program_file.h"
#include "control/reply.h"
#include "control/text.h"

namespace segue::cli {
namespace {

using base::Result;
using control::ExitCode;

constexpr base::Duration kReplaceLimit = std::chrono::seconds(60);

Result<std::string> next_keeper(const Arguments& arguments) {
  if (arguments.keeper.empty()) return find_keeper();
  SEGUE_ASSIGN(const auto launch, make_launch({arguments.keeper}, "", {}));
  return launch.argv.front();
}

void print_eject_plan(const Output& output, const Json& status) {
  const bool links_libsegue = status.value("upgrade", "libsegue") == "libsegue";
  output.print(fmt::format("1. {} (pid {}) {} on alone; no connection is touched",
                           control::version_text(status.value("version", "?")),
                           status.value("pid", 0), links_libsegue ? "is told to go" : "goes"));
  output.print(
      fmt::format("2. the keeper (pid {}) ends; nobody restarts the program after a crash, keeps "
                  "its listeners, or bounds what it prints",
                  status.value("keeper_pid", 0)));
  const auto stored = status.find("stored");
  if (stored == status.end() || stored->empty()) return;
  output.print(fmt::format("   {} that it had stored end with it from then on",
                           control::counted(stored->size(), "descriptor")));
}

}  // namespace

ExitCode upgrade_keeper(const Context& context) {
  const Arguments& arguments = context.arguments;
  Output& output = context.output;
  auto socket = context.folders.connect(arguments.name);
  if (!socket) return output.fail(socket.error());
  const auto program = next_keeper(arguments);
  if (!program) return output.fail(program.error());
  control::Request request{"keeper-upgrade", {{"keeper", *program}}, {}};
  if (arguments.dry_run) request.options.push_back({"dry-run", "1"});
  KeeperClient client(*std::move(socket));
  if (auto sent = client.send(request); !sent) return output.fail(sent.error());
  const auto reply = client.receive(kReplaceLimit, [](const Json&) {});
  if (!reply) return output.fail(reply.error());
  return output.finish(*reply);
}

ExitCode eject(const Context& context) {
  const Arguments& arguments = context.arguments;
  Output& output = context.output;
  auto socket = context.folders.connect(arguments.name);
  if (!socket) return output.fail(socket.error());
  if (arguments.dry_run) {
    const auto status = ask_status(context.folders, arguments.name);
    if (!status) return output.fail(status.error());
    if (const std::string phase = status->value("phase", ""); phase != "serving") {
      return output.finish(ExitCode::refused, fmt::format("{} could not be ejected now: it is {}",
                                                          arguments.name, phase));
    }
    print_eject_plan(output, *status);
    return output.finish(ExitCode::done, arguments.name + " would be ejected");
  }
  control::Request request{"eject", {}, {}};
  if (arguments.attempt.force) request.options.push_back({"force", "1"});
  const auto reply = KeeperClient(*std::move(socket)).ask(request);
  if (!reply) return output.fail(reply.error());
  return output.finish(*reply);
}

ExitCode show_metrics(const Context& context) {
  Output& output = context.output;
  auto socket = context.folders.connect(context.arguments.name);
  if (!socket) return output.fail(socket.error());
  const auto reply = KeeperClient(*std::move(socket)).ask({"metrics", {}, {}});
  if (!reply) return output.fail(reply.error());
  if (!reply->contains(control::reply::kMetrics)) return output.finish(*reply);
  std::string text = reply->at(control::reply::kMetrics).get<std::string>();
  output.print_json(*reply);
  if (text.ends_with('\n')) text.pop_back();  // print() ends the line
  output.print(text);
  return ExitCode::done;
}

}  // namespace segue::cli
