// SPDX-License-Identifier: Apache-2.0
// segue logs: what the instances of a component have printed, on all hosts of the fleet or on one.
#include <fmt/format.h>
#include <poll.h>

#include <optional>
#include <utility>
#include <vector>

#include "cli/commands.h"
#include "cli/server_client.h"

namespace segue::cli {
namespace {

using base::Error;
using base::ErrorCode;
using base::Result;
using control::ExitCode;

constexpr int kPauseMs = 1'000;
constexpr std::size_t kMaxFollowed = 50;  // instances, each of which is asked again and again
constexpr int kMaxUnheard = 60;           // times that one did not answer, one after the other

struct Source {
  std::string host;
  std::string slot;
  std::string at;  // where to go on; empty: from the beginning
  int unheard = 0;
};

// The instances that are there, and match what was asked for.
Result<std::vector<Source>> sources_of(const ServerClient& server, const FleetOptions& options) {
  SEGUE_ASSIGN(const Json answer, server.ask("GET", "/v1/instances"));
  std::vector<Source> sources;
  for (const auto& instance : answer.value("instances", Json::array())) {
    const std::string host = text_of(instance, "host"), slot = text_of(instance, "slot");
    const bool is_wanted = text_of(instance, "component") == options.component &&
                           (options.host.empty() || options.host == host) &&
                           (!options.canary || slot == "canary");
    if (is_wanted) sources.push_back({.host = host, .slot = slot, .at = ""});
  }
  if (!sources.empty()) return sources;
  return base::fail(ErrorCode::not_found,
                    "'{}' has no {}instance{}: `segue ps` lists what there is", options.component,
                    options.canary ? "canary " : "",
                    options.host.empty() ? "" : " on host " + options.host);
}

void print_lines(Output& output, const Source& source, const Json& lines, bool is_only_one) {
  for (const auto& line : lines) {
    const std::string text = text_of(line, "text");
    output.print(is_only_one ? text
                             : fmt::format("{}{} | {}", source.host,
                                           source.slot == "canary" ? " (canary)" : "", text));
    output.print_json(Json{{"host", source.host},
                           {"slot", source.slot},
                           {"generation", line.value("generation", std::uint64_t{0})},
                           {"line", text}});
  }
}

// What has come since then; false: there is no more for now.
Result<bool> read_on(Output& output, const ServerClient& server, const FleetOptions& options,
                     Source& source, bool is_only_one) {
  const std::string path = fmt::format("/v1/hosts/{}/logs?component={}&slot={}&lines={}&from={}",
                                       url_escaped(source.host), url_escaped(options.component),
                                       source.slot, options.lines, url_escaped(source.at));
  SEGUE_ASSIGN(const Json answer, server.ask("GET", path));
  print_lines(output, source, answer.value("lines", Json::array()), is_only_one);
  source.at = text_of(answer, "at");
  return answer.value("more", false);
}

// Until the user has seen enough (an interrupt), or nobody has answered for long.
ExitCode follow(Output& output, const ServerClient& server, const FleetOptions& options,
                std::vector<Source> sources) {
  const bool is_only_one = sources.size() == 1;
  while (true) {
    bool has_more = false;
    for (Source& source : sources) {
      const auto read = read_on(output, server, options, source, is_only_one);
      if (read) {
        source.unheard = 0;
        has_more = has_more || *read;
        continue;
      }
      const ErrorCode code = read.error().code();
      const bool may_pass = code == ErrorCode::unavailable || code == ErrorCode::deadline_exceeded;
      if (!may_pass || ++source.unheard > kMaxUnheard) return output.fail(read.error());
    }
    if (!has_more) (void)::poll(nullptr, 0, kPauseMs);
  }
}

}  // namespace

ExitCode show_logs(const Context& context) {
  Output& output = context.output;
  const FleetOptions& options = context.arguments.fleet;
  const auto server = ServerClient::open(options);
  if (!server) return output.fail(server.error());
  auto sources = sources_of(*server, options);
  if (!sources) return output.fail(sources.error());
  if (context.arguments.follow) {
    if (sources->size() > kMaxFollowed) {
      return output.fail({ErrorCode::resource_exhausted,
                          fmt::format("{} instances are more than the {} that can be followed: "
                                      "name a --host",
                                      sources->size(), kMaxFollowed)});
    }
    return follow(output, *server, options, *std::move(sources));
  }
  std::optional<Error> problem;
  for (Source& source : *sources) {
    const auto read = read_on(output, *server, options, source, sources->size() == 1);
    if (!read && !problem) problem = read.error();
  }
  return problem ? output.fail(*problem) : ExitCode::done;
}

}  // namespace segue::cli
