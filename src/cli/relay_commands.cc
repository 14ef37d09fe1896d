// SPDX-License-Identifier: Apache-2.0
// segue relay.
#include "cli/commands.h"

namespace segue::cli {

using control::ExitCode;

ExitCode relay(const Context& context, const control::RunRelay& run) {
  Output& output = context.output;
  control::RelayOptions options = context.arguments.relay;
  options.dry_run = context.arguments.dry_run;
  const auto end = run(options, [&](const std::string& text, const std::string& object) {
    output.print(text);
    output.print_json(Json::parse(object));
  });
  if (!end) return output.fail(end.error());
  return output.finish(end->exit, end->text);
}

}  // namespace segue::cli
