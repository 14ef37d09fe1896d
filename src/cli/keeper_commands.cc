// SPDX-License-Identifier: Apache-2.0
// segue keeper …: what concerns the keeper and not its component.
#include "cli/commands.h"
#include "cli/keeper_client.h"
#include "cli/program_file.h"

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

}  // namespace segue::cli
