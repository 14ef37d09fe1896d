// SPDX-License-Identifier: Apache-2.0
// segue relay, relay status, relay agents.
#include <fmt/format.h>

#include "cli/commands.h"
#include "cli/relay_text.h"
#include "fetch/http.h"
#include "fetch/metadata_updater.h"

namespace segue::cli {

using control::ExitCode;

namespace {

constexpr std::uint64_t kMaxStateBytes = std::uint64_t{1} << 20;

ExitCode run_until_end(Output& output, const auto& run, const auto& options) {
  const auto end = run(options, [&](const std::string& text, const std::string& object) {
    output.print(text);
    output.print_json(Json::parse(object));
  });
  if (!end) return output.fail(end.error());
  return output.finish(end->exit, end->text);
}

}  // namespace

ExitCode relay(const Context& context, const control::RunRelay& run) {
  control::RelayOptions options = context.arguments.relay;
  options.dry_run = context.arguments.dry_run;
  return run_until_end(context.output, run, options);
}

ExitCode relay_agents(const Context& context, const control::RunAgentRelay& run) {
  control::AgentRelayOptions options = context.arguments.agent_relay;
  options.dry_run = context.arguments.dry_run;
  return run_until_end(context.output, run, options);
}

ExitCode relay_status(const Context& context) {
  Output& output = context.output;
  fetch::HttpClient http;
  fetch::HttpRequest request{.url = fetch::join_url(context.arguments.relay_url, "relay/state"),
                             .limits = {},
                             .byte_count = {},
                             .fields = {}};
  request.limits.max_bytes = kMaxStateBytes;
  request.limits.total = std::chrono::seconds(10);
  const auto body = http.get(request);
  if (!body) return output.fail(body.error());
  const Json state = Json::parse(*body, nullptr, false);
  if (!state.is_object() || !state.contains("site")) {
    return output.finish(ExitCode::refused,
                         fmt::format("{} is no relay", context.arguments.relay_url));
  }
  output.print_json(state);
  const auto lines = relay_lines(state);
  for (const std::string& line : lines) output.print(line);
  return ExitCode::done;
}

}  // namespace segue::cli
