// SPDX-License-Identifier: Apache-2.0
#include "server/api_bodies.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "control/name.h"
#include "fleet/component_document.h"
#include "server/webhook_record.h"
#include "tuf/json.h"

namespace segue::server {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using tuf::Json;

// The body's object; an empty body is an empty one.
Result<Json> object_of(std::string_view body, const std::vector<std::string>& known) {
  if (body.empty()) return Json::object();
  SEGUE_ASSIGN(Json json, tuf::parse_json(body));
  if (!json.is_object()) return fail(ErrorCode::invalid_argument, "the body is no JSON object");
  for (const auto& [name, value] : json.items()) {
    if (std::ranges::find(known, name) != known.end()) continue;
    return fail(ErrorCode::invalid_argument, "'{}' is not known here", name.substr(0, 200));
  }
  return json;
}

Result<std::string> text_in(const Json& body, const char* name) {
  const auto found = body.find(name);
  if (found == body.end()) return std::string();
  if (!found->is_string()) return fail(ErrorCode::invalid_argument, "'{}' is no text", name);
  return found->get<std::string>();
}

Result<std::uint32_t> number_in(const Json& body, const char* name, std::uint32_t otherwise) {
  const auto found = body.find(name);
  if (found == body.end()) return otherwise;
  if (!found->is_number_unsigned() ||
      found->get<std::uint64_t>() > std::numeric_limits<std::uint32_t>::max()) {
    return fail(ErrorCode::invalid_argument, "'{}' is no number that fits", name);
  }
  return found->get<std::uint32_t>();
}

Result<bool> truth_in(const Json& body, const char* name, bool otherwise) {
  const auto found = body.find(name);
  if (found == body.end()) return otherwise;
  if (!found->is_boolean()) {
    return fail(ErrorCode::invalid_argument, "'{}' is neither true nor false", name);
  }
  return found->get<bool>();
}

Result<std::vector<std::string>> texts_in(const Json& body, const char* name, std::size_t max) {
  std::vector<std::string> texts;
  const auto found = body.find(name);
  if (found == body.end()) return texts;
  if (!found->is_array() || found->size() > max) {
    return fail(ErrorCode::invalid_argument, "'{}' is no list of at most {} texts", name, max);
  }
  for (const auto& text : *found) {
    if (!text.is_string()) {
      return fail(ErrorCode::invalid_argument, "'{}[{}]' is no text", name, texts.size());
    }
    texts.push_back(text.get<std::string>());
  }
  return texts;
}

}  // namespace

Result<bool> read_switch_body(std::string_view body) {
  SEGUE_ASSIGN(const Json json, object_of(body, {"on"}));
  return truth_in(json, "on", true);
}

Result<DeploymentBody> read_deployment_body(std::string_view body) {
  SEGUE_ASSIGN(const Json json, object_of(body, {"component", "strategy", "title", "dry_run"}));
  const auto component = json.find("component");
  if (component == json.end()) {
    return fail(ErrorCode::invalid_argument, "'component' is missing");
  }
  if (const auto unknown = fleet::unknown_member_of(*component)) {
    return fail(ErrorCode::invalid_argument, "'component.{}' is not known here",
                unknown->substr(0, 200));
  }
  DeploymentBody deployment;
  SEGUE_ASSIGN(deployment.spec, fleet::read_component(component->dump()));
  deployment.strategy = fleet::careful(fleet::StrategyKind::rolling);
  if (const auto given = json.find("strategy"); given != json.end()) {
    SEGUE_ASSIGN(deployment.strategy, fleet::read_strategy(given->dump()));
  }
  SEGUE_ASSIGN(deployment.title, text_in(json, "title"));
  SEGUE_ASSIGN(deployment.dry_run, truth_in(json, "dry_run", false));
  if (deployment.title.empty()) {
    deployment.title = fmt::format("{} {}", deployment.spec.name, deployment.spec.release.version);
  }
  return deployment;
}

Result<VersionBody> read_version_body(std::string_view body) {
  SEGUE_ASSIGN(const Json json, object_of(body, {"version", "title", "dry_run"}));
  VersionBody wanted;
  SEGUE_ASSIGN(wanted.version, text_in(json, "version"));
  SEGUE_ASSIGN(wanted.title, text_in(json, "title"));
  SEGUE_ASSIGN(wanted.dry_run, truth_in(json, "dry_run", false));
  if (wanted.version.empty()) return fail(ErrorCode::invalid_argument, "'version' is missing");
  SEGUE_TRY(control::check_version(wanted.version));
  return wanted;
}

Result<ActionBody> read_action_body(std::string_view body) {
  SEGUE_ASSIGN(const Json json, object_of(body, {"why", "all"}));
  ActionBody action;
  SEGUE_ASSIGN(action.why, text_in(json, "why"));
  SEGUE_ASSIGN(action.all, truth_in(json, "all", false));
  return action;
}

Result<TokenBody> read_token_body(std::string_view body) {
  SEGUE_ASSIGN(const Json json, object_of(body, {"site", "relay", "uses", "lifetime_s"}));
  TokenBody token;
  SEGUE_ASSIGN(token.site, text_in(json, "site"));
  SEGUE_ASSIGN(token.is_relay, truth_in(json, "relay", false));
  SEGUE_ASSIGN(token.uses, number_in(json, "uses", 1));
  SEGUE_ASSIGN(const std::uint32_t lifetime_s, number_in(json, "lifetime_s", 3'600));
  token.lifetime = std::chrono::seconds(lifetime_s);
  return token;
}

Result<PersonBody> read_person_body(std::string_view body) {
  SEGUE_ASSIGN(const Json json, object_of(body, {"rights", "components"}));
  PersonBody person;
  SEGUE_ASSIGN(const auto words, texts_in(json, "rights", Person::kMaxRights));
  for (const auto& word : words) {
    const auto right = right_of(word);
    if (!right) {
      return fail(ErrorCode::invalid_argument,
                  "'{}' is no right: they are view, deploy, approve and administer", word);
    }
    person.rights.push_back(*right);
  }
  SEGUE_ASSIGN(person.components, texts_in(json, "components", Person::kMaxComponents));
  for (const auto& component : person.components) {
    SEGUE_TRY(control::check_name(component, "a component"));
  }
  const bool administers =
      std::ranges::find(person.rights, Right::administer) != person.rights.end();
  if (administers && !person.components.empty()) {
    return fail(ErrorCode::invalid_argument,
                "who may administer is not limited to components: leave one of the two out");
  }
  return person;
}

Result<WebhookBody> read_webhook_body(std::string_view body) {
  SEGUE_ASSIGN(const Json json, object_of(body, {"url", "kinds"}));
  WebhookBody webhook;
  SEGUE_ASSIGN(webhook.url, text_in(json, "url"));
  SEGUE_TRY(check_webhook_url(webhook.url));
  SEGUE_ASSIGN(webhook.kinds, texts_in(json, "kinds", WebhookRecord::kMaxKinds));
  SEGUE_TRY(check_webhook_kinds(webhook.kinds));
  return webhook;
}

}  // namespace segue::server
