// SPDX-License-Identifier: Apache-2.0
// deploy, rollout …, hosts, ps, drain, token: asks the server of the fleet.
#include <fmt/format.h>
#include <poll.h>

#include <array>
#include <cstdlib>

#include "cli/commands.h"
#include "fetch/api_client.h"
#include "fleet/component_document.h"
#include "os/files.h"
#include "os/paths.h"
#include "service/service_file.h"

namespace segue::cli {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using control::ExitCode;

constexpr std::size_t kMaxProfileBytes = std::size_t{64} << 10;
constexpr int kWatchPauseMs = 1'000;
constexpr int kMaxUnheard = 60;  // times that the server did not answer, one after the other

// {"segue_profile": 1, "url": …, "token": …, "authority": PEM}
class Server {
 public:
  static Result<Server> open(const FleetOptions& options) {
    std::string path = options.profile;
    const char* named = std::getenv("SEGUE_PROFILE");  // NOLINT(concurrency-mt-unsafe)
    if (path.empty() && named != nullptr) path = named;
    if (path.empty()) {
      SEGUE_ASSIGN(const auto directories, os::directories());
      path = directories.state + "/server/admin.json";
    }
    auto text = os::read_file(path, kMaxProfileBytes);
    if (!text) {
      return fail(text.error().with(
          fmt::format("no server is known: {} cannot be read; name one with --profile", path)));
    }
    const Json json = Json::parse(*text, nullptr, false);
    Server server;
    for (const auto& [name, place] : {std::pair{"url", &server.url_},
                                      {"token", &server.token_},
                                      {"authority", &server.authority_}}) {
      const auto found = json.is_object() ? json.find(name) : json.end();
      if (found == json.end() || !found->is_string()) {
        return fail(ErrorCode::invalid_argument, "{} is no profile: '{}' is missing", path, name);
      }
      *place = found->get<std::string>();
    }
    return server;
  }

  [[nodiscard]] Result<Json> ask(const std::string& method, const std::string& path,
                                 const Json& body = nullptr) const {
    SEGUE_ASSIGN(const auto answer, fetch::call_api({.method = method,
                                                     .url = url_ + path,
                                                     .bearer = token_,
                                                     .authority_pem = authority_,
                                                     .body = body.is_null() ? "" : body.dump()}));
    Json json = Json::parse(answer.body, nullptr, false);
    if (answer.status / 100 == 2 && json.is_object()) return json;
    const std::string text =
        json.is_object() ? json.value("error", "") : fmt::format("status {}", answer.status);
    return fail(code_of(answer.status), "{}", text);
  }

 private:
  static ErrorCode code_of(long status) {
    switch (status) {
      case 400:
      case 413:
        return ErrorCode::invalid_argument;
      case 401:
      case 403:
        return ErrorCode::permission_denied;
      case 404:
      case 405:
        return ErrorCode::not_found;
      case 409:
        return ErrorCode::failed_precondition;
      case 429:
        return ErrorCode::resource_exhausted;
      default:
        return ErrorCode::unavailable;
    }
  }

  std::string url_;
  std::string token_;
  std::string authority_;
};

ExitCode show(Output& output, const Json& json, const std::vector<std::string>& lines) {
  if (output.json()) {
    Json object = json;
    object["done"] = true;
    object["exit"] = 0;
    return output.finish(object);
  }
  for (const auto& line : lines) output.print(line);
  return ExitCode::done;
}

std::string text_of(const Json& json, const char* name) {
  const auto found = json.find(name);
  if (found == json.end()) return "";
  return found->is_string() ? found->get<std::string>() : found->dump();
}

std::vector<std::string> host_lines(const Json& answer) {
  std::vector<std::string> lines;
  for (const auto& host : answer["hosts"]) {
    const bool silent = host.value("silent", true);
    lines.push_back(fmt::format("{:<20} {:<12} {:<8} {}{}", text_of(host, "name"),
                                text_of(host, "site"), silent ? "silent" : "heard",
                                host.value("drained", false) ? "drained " : "",
                                text_of(host, "trouble")));
  }
  if (lines.empty()) lines.emplace_back("no host has joined: `segue token` makes a token for one");
  return lines;
}

std::vector<std::string> instance_lines(const Json& answer) {
  std::vector<std::string> lines;
  for (const auto& instance : answer["instances"]) {
    const Json seen = instance.value("seen", Json::object());
    lines.push_back(fmt::format("{:<20} {:<16} {:<7} revision {:<4} {:<12} {:<8} {} connections {}",
                                text_of(instance, "host"), text_of(instance, "component"),
                                text_of(instance, "slot"), seen.value("revision", 0),
                                text_of(seen, "activity"), text_of(seen, "health"),
                                seen.value("connections", 0), text_of(seen, "text")));
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

std::vector<std::string> progress_lines(const Json& progress) {
  std::vector<std::string> lines;
  lines.push_back(fmt::format("{}: {}{}", text_of(progress, "title"), text_of(progress, "phase"),
                              progress.value("paused", false) ? ", paused" : ""));
  for (const auto& step : progress.value("steps", Json::array())) {
    lines.push_back(fmt::format(
        "  {:<10} {:<24} {}/{} moved, {} moving, {} failed, {} silent", text_of(step, "state"),
        text_of(step, "name"), step.value("moved", 0), step.value("instances", 0),
        step.value("moving", 0), step.value("failed", 0), step.value("silent", 0)));
  }
  for (const auto& gate : progress.value("gates", Json::array())) {
    lines.push_back(fmt::format("  gate {}: {} {}", text_of(gate, "name"), text_of(gate, "verdict"),
                                text_of(gate, "text")));
  }
  for (const auto& instance : progress.value("noteworthy", Json::array())) {
    lines.push_back(fmt::format("  {:<20} {:<7} {:<10} {}", text_of(instance, "host"),
                                text_of(instance, "slot"), text_of(instance, "standing"),
                                text_of(instance, "text")));
  }
  for (const char* name : {"why", "waits_for", "next"}) {
    if (const std::string text = text_of(progress, name); !text.empty()) {
      lines.push_back(fmt::format("  {}: {}", name, text));
    }
  }
  return lines;
}

ExitCode exit_of(const std::string& phase) {
  if (phase == "undone" || phase == "superseded") return ExitCode::undone;
  return phase == "failed" ? ExitCode::failed : ExitCode::done;
}

bool is_over(const std::string& phase) {
  return phase == "done" || phase == "undone" || phase == "failed" || phase == "superseded";
}

// Until it is over; what has changed is printed anew.
ExitCode watch(Output& output, const Server& server, const std::string& rollout) {
  std::vector<std::string> shown;
  int unheard = 0;
  while (true) {
    const auto progress = server.ask("GET", "/v1/rollouts/" + rollout);
    if (!progress) {
      const bool may_pass = progress.error().code() == ErrorCode::unavailable;
      if (!may_pass || ++unheard > kMaxUnheard) return output.fail(progress.error());
    } else {
      unheard = 0;
      const auto lines = progress_lines(*progress);
      if (lines != shown) {
        if (output.json()) output.print_json(*progress);
        for (const auto& line : lines) output.print(line);
        shown = lines;
      }
      const std::string phase = text_of(*progress, "phase");
      if (is_over(phase)) {
        return output.finish(exit_of(phase), fmt::format("{} is {}", rollout, phase));
      }
    }
    (void)::poll(nullptr, 0, kWatchPauseMs);
  }
}

ExitCode change_rollout(Output& output, const Server& server, const FleetOptions& options,
                        const char* action) {
  Json body{{"why", options.why}};
  if (options.all) body["all"] = true;
  const auto done =
      server.ask("POST", fmt::format("/v1/rollouts/{}/{}", options.rollout, action), body);
  if (!done) return output.fail(done.error());
  return output.finish(ExitCode::done, fmt::format("{} was told: {}", options.rollout, action));
}

ExitCode show_answer(Output& output, const Result<Json>& answer,
                     std::vector<std::string> (*lines)(const Json&)) {
  if (!answer) return output.fail(answer.error());
  return show(output, *answer, lines(*answer));
}

}  // namespace

ExitCode deploy(const Context& context) {
  Output& output = context.output;
  const FleetOptions& options = context.arguments.fleet;
  const auto text = os::read_file(options.file, service::kMaxServiceFileBytes);
  if (!text) return output.fail(text.error().with("cannot read " + options.file));
  const auto reading = service::read_service(options.file, *text);
  if (!reading.service) {
    for (const auto& problem : reading.problems) output.note(problem);
    return output.finish(ExitCode::usage,
                         fmt::format("{} cannot be used: see above", options.file));
  }
  std::vector<const service::ServiceComponent*> chosen;
  for (const auto& component : reading.service->components) {
    const bool is_chosen = options.component.empty() || component.spec.name == options.component;
    if (is_chosen) chosen.push_back(&component);
  }
  if (chosen.empty()) {
    return output.finish(ExitCode::usage,
                         fmt::format("{} has no component '{}'", options.file, options.component));
  }
  if (context.arguments.dry_run) {
    return output.finish(ExitCode::done, fmt::format("{} components of {} would be rolled out",
                                                     chosen.size(), reading.service->name));
  }
  const auto server = Server::open(options);
  if (!server) return output.fail(server.error());
  Json rollouts = Json::array();
  std::string said;
  for (const auto* component : chosen) {
    const auto answer =
        server->ask("POST", "/v1/deployments",
                    {{"component", Json::parse(fleet::write_component(component->spec))},
                     {"strategy", Json::parse(fleet::write_strategy(component->strategy))},
                     {"title", options.title}});
    if (!answer) {
      return output.fail(
          answer.error().with(fmt::format("{} is not rolled out", component->spec.name)));
    }
    rollouts.push_back(*answer);
    said += fmt::format("{}{}: {} {}", said.empty() ? "" : "\n", component->spec.name,
                        text_of(*answer, "rollout"), text_of(*answer, "text"));
  }
  if (!output.json()) return output.finish(ExitCode::done, said);
  return output.finish(Json{{"done", true}, {"exit", 0}, {"rollouts", rollouts}, {"text", said}});
}

ExitCode ask_fleet(const Context& context) {
  Output& output = context.output;
  const FleetOptions& options = context.arguments.fleet;
  const auto server = Server::open(options);
  if (!server) return output.fail(server.error());
  switch (context.arguments.command) {
    case Command::hosts:
      return show_answer(output, server->ask("GET", "/v1/hosts"), &host_lines);
    case Command::instances:
      return show_answer(output, server->ask("GET", "/v1/instances"), &instance_lines);
    case Command::rollout_list:
      return show_answer(output, server->ask("GET", "/v1/rollouts"), &rollout_lines);
    case Command::rollout_show:
      return show_answer(output, server->ask("GET", "/v1/rollouts/" + options.rollout),
                         &progress_lines);
    case Command::rollout_watch:
      return watch(output, *server, options.rollout);
    case Command::rollout_pause:
      return change_rollout(output, *server, options, "pause");
    case Command::rollout_resume:
      return change_rollout(output, *server, options, "resume");
    case Command::rollout_promote:
      return change_rollout(output, *server, options, "promote");
    case Command::rollout_undo:
      return change_rollout(output, *server, options, "undo");
    case Command::rollout_approve:
      return change_rollout(output, *server, options, "approve");
    case Command::drain: {
      const auto done = server->ask("POST", fmt::format("/v1/hosts/{}/drain", options.host),
                                    {{"on", !options.off}});
      if (!done) return output.fail(done.error());
      return output.finish(
          ExitCode::done,
          fmt::format("{} {}", options.host, options.off ? "takes part again" : "is passed over"));
    }
    default: {
      const auto token = server->ask(
          "POST", "/v1/tokens",
          {{"site", options.site}, {"uses", options.uses}, {"lifetime_s", options.lifetime_s}});
      if (!token) return output.fail(token.error());
      return show(output, *token, {text_of(*token, "token")});
    }
  }
}

}  // namespace segue::cli
