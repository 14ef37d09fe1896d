// SPDX-License-Identifier: Apache-2.0
// segue agent: what it does is the agent's.
#include "cli/commands.h"

namespace segue::cli {

control::ExitCode agent(const Context& context, const control::RunAgent& run) {
  Output& output = context.output;
  control::AgentOptions options = context.arguments.agent;
  options.dry_run = context.arguments.dry_run;
  const auto print = [&output](std::string_view text, std::string_view json) {
    output.print(text);
    if (output.json()) output.print_json(Json::parse(json));
  };
  const auto ended = run(options, print);
  if (!ended) return output.fail(ended.error());
  return control::ExitCode::done;
}

}  // namespace segue::cli
