// SPDX-License-Identifier: Apache-2.0
// rollout …, hosts, ps, drain, token: asks the server of the fleet.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <set>

#include "cli/commands.h"
#include "cli/server_client.h"
#include "traffic/share.h"

namespace segue::cli {
namespace {

using base::ErrorCode;
using base::Result;
using control::ExitCode;

std::string role_text(const Json& host) {
  if (host.value("relay", false)) return "relay ";
  const std::string through = text_of(host, "through");
  return through.empty() ? "" : "through " + through + " ";
}

std::vector<std::string> host_lines(const Json& answer) {
  std::vector<std::string> lines;
  for (const auto& host : answer["hosts"]) {
    const bool silent = host.value("silent", true);
    lines.push_back(fmt::format("{:<20} {:<12} {:<8} {}{}", text_of(host, "name"),
                                text_of(host, "site"), silent ? "silent" : "heard",
                                role_text(host) + (host.value("drained", false) ? "drained " : "") +
                                    (host.value("observe_only", false) ? "observes " : ""),
                                text_of(host, "trouble")));
  }
  if (lines.empty()) lines.emplace_back("no host has joined: `segue token` makes a token for one");
  return lines;
}

std::vector<std::string> instance_lines(const Json& answer) {
  std::vector<std::string> lines;
  for (const auto& instance : answer["instances"]) {
    const Json seen = instance.value("seen", Json::object());
    std::string line =
        fmt::format("{:<20} {:<16} {:<7} revision {:<4} {:<12} {:<8} {} connections {}",
                    text_of(instance, "host"), text_of(instance, "component"),
                    text_of(instance, "slot"), seen.value("revision", 0), text_of(seen, "activity"),
                    text_of(seen, "health"), seen.value("connections", 0), text_of(seen, "text"));
    if (const Json proxy = instance.value("proxy", Json()); proxy.is_object()) {
      line += fmt::format("; proxy on {}: share {} {} {}", text_of(proxy, "host"),
                          traffic::share_text(instance.value("share_ppm", 0U)),
                          text_of(proxy, "result"), text_of(proxy, "text"));
    }
    lines.push_back(std::move(line));
  }
  if (lines.empty()) lines.emplace_back("nothing is deployed");
  return lines;
}

std::vector<std::string> rollout_lines(const Json& answer) {
  std::vector<std::string> lines;
  for (const auto& rollout : answer["rollouts"]) {
    lines.push_back(fmt::format(
        "{:<20} {:<10} step {} of {}  {} (by {})  {}", text_of(rollout, "id"),
        text_of(rollout, "phase"), rollout.value("step", 0) + 1, rollout.value("steps", 0),
        text_of(rollout, "title"), text_of(rollout, "author"), text_of(rollout, "text")));
  }
  return lines;
}

ExitCode change_rollout(Output& output, const ServerClient& server, const FleetOptions& options,
                        const char* action) {
  Json body{{"why", options.why}};
  if (options.all) body["all"] = true;
  const auto done =
      server.ask("POST", fmt::format("/v1/rollouts/{}/{}", options.rollout, action), body);
  if (!done) return output.fail(done.error());
  return output.finish(ExitCode::done, fmt::format("{} was told: {}", options.rollout, action));
}

// What a rollout is told by a command; nullptr: by none.
const char* action_of(Command command) {
  constexpr std::array<std::pair<Command, const char*>, 5> kActions = {
      {{Command::rollout_pause, "pause"},
       {Command::rollout_resume, "resume"},
       {Command::rollout_promote, "promote"},
       {Command::rollout_undo, "undo"},
       {Command::rollout_approve, "approve"}}};
  const auto* const found =
      std::ranges::find(kActions, command, [](const auto& one) { return one.first; });
  return found == kActions.end() ? nullptr : found->second;
}

bool has_host(const Json& hosts, const std::string& name) {
  const auto& all = hosts["hosts"];
  return std::any_of(all.begin(), all.end(),
                     [&](const Json& host) { return text_of(host, "name") == name; });
}

// As the server would see it.
ExitCode say_only_remove(Output& output, const ServerClient& server, const FleetOptions& options) {
  const auto hosts = server.ask("GET", "/v1/hosts");
  if (!hosts) return output.fail(hosts.error());
  const auto instances = server.ask("GET", "/v1/instances");
  if (!instances) return output.fail(instances.error());
  if (!has_host(*hosts, options.host)) {
    return output.finish(ExitCode::refused, fmt::format("there is no host '{}'", options.host));
  }
  std::set<std::string> running;
  for (const auto& instance : (*instances)["instances"]) {
    const bool runs = instance.value("wanted", 0) != 0 ||
                      instance.value("seen", Json::object()).value("revision", 0) != 0;
    if (runs && text_of(instance, "host") == options.host) {
      running.insert(text_of(instance, "component"));
    }
  }
  if (!running.empty() && !options.force) {
    return output.finish(ExitCode::refused,
                         fmt::format("{} runs {}: it would be refused without --force",
                                     options.host, fmt::join(running, ", ")));
  }
  return output.finish(
      ExitCode::done,
      running.empty()
          ? fmt::format("{} would be removed; nothing runs there", options.host)
          : fmt::format("{} would be removed, and {} goes on there with nobody to lead it",
                        options.host, fmt::join(running, ", ")));
}

ExitCode remove_host(Output& output, const ServerClient& server, const FleetOptions& options) {
  const auto done = server.ask("DELETE", fmt::format("/v1/hosts/{}{}", url_escaped(options.host),
                                                     options.force ? "?force=true" : ""));
  if (!done) return output.fail(done.error());
  return output.finish(ExitCode::done,
                       fmt::format("{} is no part of the fleet any more; with a new token it may "
                                   "join again",
                                   options.host));
}

// What a command would do, with what the server says now.
ExitCode say_only(Output& output, const ServerClient& server, const Arguments& arguments) {
  const FleetOptions& options = arguments.fleet;
  if (arguments.command == Command::host_remove) return say_only_remove(output, server, options);
  if (const char* action = action_of(arguments.command)) {
    const auto progress = server.ask("GET", "/v1/rollouts/" + options.rollout);
    if (!progress) return output.fail(progress.error());
    return output.finish(ExitCode::done,
                         fmt::format("{} is {}, and would be told: {}", options.rollout,
                                     text_of(*progress, "phase"), action));
  }
  const auto hosts = server.ask("GET", "/v1/hosts");
  if (!hosts) return output.fail(hosts.error());
  if (arguments.command == Command::token_create) {
    return output.finish(
        ExitCode::done, fmt::format("a token for {} {}, good for {} s, would be made", options.uses,
                                    options.relay ? "relays" : "hosts", options.lifetime_s));
  }
  if (!has_host(*hosts, options.host)) {
    return output.finish(ExitCode::refused, fmt::format("there is no host '{}'", options.host));
  }
  return output.finish(ExitCode::done, fmt::format("{} would {}", options.host,
                                                   options.off ? "take part in rollouts again"
                                                               : "be passed over by rollouts"));
}

ExitCode show_answer(Output& output, const Result<Json>& answer,
                     std::vector<std::string> (*lines)(const Json&)) {
  if (!answer) return output.fail(answer.error());
  return show(output, *answer, lines(*answer));
}

}  // namespace

ExitCode ask_fleet(const Context& context) {
  Output& output = context.output;
  const FleetOptions& options = context.arguments.fleet;
  const auto server = ServerClient::open(options);
  if (!server) return output.fail(server.error());
  if (context.arguments.dry_run) return say_only(output, *server, context.arguments);
  if (const char* action = action_of(context.arguments.command)) {
    return change_rollout(output, *server, options, action);
  }
  switch (context.arguments.command) {
    case Command::hosts:
      return show_answer(output, server->ask("GET", "/v1/hosts"), &host_lines);
    case Command::instances:
      return show_answer(output, server->ask("GET", "/v1/instances"), &instance_lines);
    case Command::host_remove:
      return remove_host(output, *server, options);
    case Command::rollout_list:
      return show_answer(output, server->ask("GET", "/v1/rollouts"), &rollout_lines);
    case Command::drain: {
      const auto done = server->ask("POST", fmt::format("/v1/hosts/{}/drain", options.host),
                                    {{"on", !options.off}});
      if (!done) return output.fail(done.error());
      return output.finish(
          ExitCode::done,
          fmt::format("{} {}", options.host, options.off ? "takes part again" : "is passed over"));
    }
    default: {
      const auto token = server->ask("POST", "/v1/tokens",
                                     {{"site", options.site},
                                      {"relay", options.relay},
                                      {"uses", options.uses},
                                      {"lifetime_s", options.lifetime_s}});
      if (!token) return output.fail(token.error());
      return show(output, *token, {text_of(*token, "token")});
    }
  }
}

}  // namespace segue::cli
