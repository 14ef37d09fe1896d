// SPDX-License-Identifier: Apache-2.0
// segue person, webhook, emergency-stop.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "cli/commands.h"
#include "cli/server_client.h"
#include "crypto/keys.h"
#include "os/files.h"

namespace segue::cli {
namespace {

using base::Result;
using control::ExitCode;

constexpr std::size_t kShortDigits = 12;  // of a key's id, for people

std::vector<std::string> texts_of(const Json& json, const char* name) {
  std::vector<std::string> texts;
  for (const auto& text : json.value(name, Json::array())) {
    if (text.is_string()) texts.push_back(text.get<std::string>());
  }
  return texts;
}

ExitCode list_people(Output& output, const ServerClient& server) {
  const auto answer = server.ask("GET", "/v1/people");
  if (!answer) return output.fail(answer.error());
  std::vector<std::string> lines;
  for (const auto& person : answer->value("people", Json::array())) {
    const auto components = texts_of(person, "components");
    const auto rights = texts_of(person, "rights");
    auto keys = texts_of(person, "keys");
    for (auto& key : keys) key.resize(std::min(key.size(), kShortDigits));
    lines.push_back(
        fmt::format("{:<20} {}{}{}", text_of(person, "name"),
                    rights.empty() ? "view" : fmt::format("{}", fmt::join(rights, ", ")),
                    components.empty() ? "" : fmt::format(" of {}", fmt::join(components, ", ")),
                    keys.empty() ? "" : fmt::format(" with key {}", fmt::join(keys, ", "))));
  }
  return show(output, *answer, lines);
}

// Public keys as PEM. A private one is not even sent.
Result<std::vector<std::string>> read_public_keys(const std::vector<std::string>& paths) {
  std::vector<std::string> keys;
  for (const auto& path : paths) {
    SEGUE_ASSIGN(const std::string text, os::read_file(path, crypto::kMaxPemBytes));
    if (text.find("PRIVATE KEY-----") != std::string::npos) {
      return base::fail(base::ErrorCode::invalid_argument,
                        "{} is a private key, which stays with who has it: give its public half, "
                        "{}.pub",
                        path, path);
    }
    auto key = crypto::PublicKey::from_pem(text);
    if (!key) return base::fail(std::move(key).error().with(path));
    keys.push_back(key->pem());
  }
  return keys;
}

ExitCode set_person(Output& output, const ServerClient& server, const FleetOptions& options,
                    const std::vector<std::string>& keys) {
  Json body{{"rights", options.rights}, {"components", options.components}};
  if (!keys.empty()) body["keys"] = keys;
  const auto answer = server.ask("PUT", "/v1/people/" + url_escaped(options.person), body);
  if (!answer) return output.fail(answer.error());
  const std::string token = text_of(*answer, "token");
  if (options.write.empty()) return show(output, *answer, {token});
  const auto written = os::write_file_atomically(options.write, server.profile_of(token));
  if (!written) {
    return output.finish(
        ExitCode::failed,
        fmt::format("{} has a new token, and {} cannot be written ({}): do it again",
                    options.person, options.write, written.error().message()));
  }
  return output.finish(ExitCode::done,
                       fmt::format("{} may use {} as --profile", options.person, options.write));
}

ExitCode list_webhooks(Output& output, const ServerClient& server) {
  const auto answer = server.ask("GET", "/v1/webhooks");
  if (!answer) return output.fail(answer.error());
  std::vector<std::string> lines;
  for (const auto& webhook : answer->value("webhooks", Json::array())) {
    const auto kinds = texts_of(webhook, "kinds");
    const std::string trouble = webhook.value("gone", false) ? "wants nothing more (410 Gone)"
                                                             : text_of(webhook, "trouble");
    lines.push_back(fmt::format(
        "{:<16} {}  {}  {} taken, {} missed{}", text_of(webhook, "name"), text_of(webhook, "url"),
        kinds.empty() ? "all" : fmt::format("{}", fmt::join(kinds, ", ")), webhook.value("sent", 0),
        webhook.value("missed", 0), trouble.empty() ? "" : "; " + trouble));
  }
  if (lines.empty()) lines.emplace_back("nobody is told: `segue webhook add NAME URL`");
  return show(output, *answer, lines);
}

ExitCode add_webhook(Output& output, const ServerClient& server, const FleetOptions& options) {
  const auto answer = server.ask("PUT", "/v1/webhooks/" + url_escaped(options.webhook),
                                 {{"url", options.url}, {"kinds", options.kinds}});
  if (!answer) return output.fail(answer.error());
  return show(output, *answer, {text_of(*answer, "secret")});
}

ExitCode test_webhook(Output& output, const ServerClient& server, const FleetOptions& options) {
  const auto answer =
      server.ask("POST", fmt::format("/v1/webhooks/{}/test", url_escaped(options.webhook)));
  if (!answer) return output.fail(answer.error());
  const bool is_taken = answer->value("taken", false);
  Json object = *answer;
  object["done"] = is_taken;
  object["exit"] = is_taken ? 0 : 1;
  object["text"] = fmt::format("'{}' {}: {}", options.webhook,
                               is_taken ? "has taken the notification" : "did not take it",
                               text_of(*answer, "text"));
  if (output.json()) return output.finish(object);
  return output.finish(is_taken ? ExitCode::done : ExitCode::failed, text_of(object, "text"));
}

ExitCode remove(Output& output, const ServerClient& server, const std::string& path,
                const std::string& name) {
  const auto answer = server.ask("DELETE", path + url_escaped(name));
  if (!answer) return output.fail(answer.error());
  return output.finish(ExitCode::done, fmt::format("{} is removed", name));
}

ExitCode stop(Output& output, const ServerClient& server, const FleetOptions& options) {
  const auto answer = server.ask("POST", "/v1/stop", {{"on", !options.off}});
  if (!answer) return output.fail(answer.error());
  return output.finish(
      ExitCode::done,
      options.off ? "the fleet goes on where it was"
                  : "the fleet is stopped: nothing is ordered anywhere, not even back, and what "
                    "runs goes on; `segue emergency-stop --lift` ends it");
}

// What a command would do, with what the server says now.
ExitCode say_only(Output& output, const ServerClient& server, const Arguments& arguments) {
  const FleetOptions& options = arguments.fleet;
  const auto status = server.ask("GET", "/v1/status");
  if (!status) return output.fail(status.error());
  std::string text;
  switch (arguments.command) {
    case Command::emergency_stop:
      text = fmt::format("{} rollouts under way on {} hosts would {}; the fleet is {}",
                         status->value("rollouts_under_way", 0), status->value("hosts", 0),
                         options.off ? "go on" : "stop where they are",
                         status->value("stopped", false) ? "stopped now" : "not stopped now");
      break;
    case Command::person_set:
      text =
          fmt::format("{} would get {} and a new token", options.person,
                      options.rights.empty() ? "the right to view"
                                             : fmt::format("{}", fmt::join(options.rights, ", ")));
      break;
    case Command::webhook_add:
      text = fmt::format("{} would be told of what happens, as '{}'", options.url, options.webhook);
      break;
    default:
      text = fmt::format("{}{} would be removed", options.person, options.webhook);
  }
  return output.finish(ExitCode::done, text);
}

}  // namespace

ExitCode manage_people(const Context& context) {
  Output& output = context.output;
  const FleetOptions& options = context.arguments.fleet;
  const auto server = ServerClient::open(options);
  if (!server) return output.fail(server.error());
  const auto keys = read_public_keys(options.keys);
  if (!keys) return output.fail(keys.error());
  if (context.arguments.dry_run) return say_only(output, *server, context.arguments);
  switch (context.arguments.command) {
    case Command::person_list:
      return list_people(output, *server);
    case Command::person_set:
      return set_person(output, *server, options, *keys);
    case Command::person_remove:
      return remove(output, *server, "/v1/people/", options.person);
    case Command::webhook_list:
      return list_webhooks(output, *server);
    case Command::webhook_add:
      return add_webhook(output, *server, options);
    case Command::webhook_test:
      return test_webhook(output, *server, options);
    case Command::webhook_remove:
      return remove(output, *server, "/v1/webhooks/", options.webhook);
    default:
      return stop(output, *server, options);
  }
}

}  // namespace segue::cli
