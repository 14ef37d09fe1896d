// SPDX-License-Identifier: Apache-2.0
#include "server/api_bodies.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "base/base64.h"
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

bool is_key_id(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

Result<fleet::DeploymentSignature> signature_in(const Json& json, const std::string& place) {
  if (!json.is_object()) return fail(ErrorCode::invalid_argument, "'{}' is no object", place);
  fleet::DeploymentSignature signature;
  for (const auto& [name, value] : json.items()) {
    std::string* const text = name == "key"         ? &signature.key
                              : name == "signature" ? &signature.signature
                                                    : nullptr;
    if (text == nullptr) {
      return fail(ErrorCode::invalid_argument, "'{}.{}' is not known here", place,
                  name.substr(0, 200));
    }
    if (!value.is_string()) {
      return fail(ErrorCode::invalid_argument, "'{}.{}' is no text", place, name);
    }
    *text = value.get<std::string>();
  }
  if (!is_key_id(signature.key)) {
    return fail(ErrorCode::invalid_argument,
                "'{}.key' is no key's id: 64 digits, as `segue key make` says it", place);
  }
  const auto bytes = base::from_base64(signature.signature);
  if (bytes && !bytes->empty() && bytes->size() <= fleet::kMaxSignatureBytes) return signature;
  return fail(ErrorCode::invalid_argument, "'{}.signature' is no base64 of 1 to {} bytes", place,
              fleet::kMaxSignatureBytes);
}

Result<std::vector<fleet::DeploymentSignature>> signatures_in(const Json& body) {
  std::vector<fleet::DeploymentSignature> signatures;
  const auto found = body.find("signatures");
  if (found == body.end()) return signatures;
  if (!found->is_array() || found->size() > fleet::kMaxDeploymentSignatures) {
    return fail(ErrorCode::invalid_argument, "'signatures' is no list of at most {}",
                fleet::kMaxDeploymentSignatures);
  }
  for (const auto& json : *found) {
    const std::string place = fmt::format("signatures[{}]", signatures.size());
    SEGUE_ASSIGN(auto signature, signature_in(json, place));
    if (std::ranges::find(signatures, signature.key, &fleet::DeploymentSignature::key) !=
        signatures.end()) {
      return fail(ErrorCode::invalid_argument, "'{}.key' is there already", place);
    }
    signatures.push_back(std::move(signature));
  }
  return signatures;
}

Result<std::vector<SigningKey>> keys_in(const Json& body) {
  SEGUE_ASSIGN(const auto texts, texts_in(body, "keys", Person::kMaxKeys));
  std::vector<SigningKey> keys;
  for (const auto& text : texts) {
    auto key = signing_key_of(text);
    if (!key) {
      return fail(key.error().code(), "'keys[{}]': {}", keys.size(), key.error().message());
    }
    if (std::ranges::find(keys, *key) != keys.end()) {
      return fail(ErrorCode::invalid_argument, "'keys[{}]' is there already: {}", keys.size(),
                  key->id);
    }
    keys.push_back(*std::move(key));
  }
  return keys;
}

Result<void> check_keys(const PersonBody& person) {
  const bool signs = std::ranges::find(person.rights, Right::sign) != person.rights.end();
  if (signs && person.keys.empty()) {
    return fail(ErrorCode::invalid_argument,
                "who may sign needs a key: name its public half ('keys', --key FILE.pub)");
  }
  if (signs || person.keys.empty()) return {};
  return fail(ErrorCode::invalid_argument,
              "'keys' are of those who may sign: give the right 'sign', too, or leave them out");
}

}  // namespace

Result<bool> read_switch_body(std::string_view body) {
  SEGUE_ASSIGN(const Json json, object_of(body, {"on"}));
  return truth_in(json, "on", true);
}

Result<DeploymentBody> read_deployment_body(std::string_view body) {
  SEGUE_ASSIGN(const Json json,
               object_of(body, {"component", "strategy", "title", "dry_run", "signatures"}));
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
  SEGUE_ASSIGN(deployment.signatures, signatures_in(json));
  if (deployment.title.empty()) {
    deployment.title = fmt::format("{} {}", deployment.spec.name, deployment.spec.release.version);
  }
  return deployment;
}

Result<VersionBody> read_version_body(std::string_view body) {
  SEGUE_ASSIGN(const Json json, object_of(body, {"version", "title", "dry_run", "signatures"}));
  VersionBody wanted;
  SEGUE_ASSIGN(wanted.version, text_in(json, "version"));
  SEGUE_ASSIGN(wanted.title, text_in(json, "title"));
  SEGUE_ASSIGN(wanted.dry_run, truth_in(json, "dry_run", false));
  SEGUE_ASSIGN(wanted.signatures, signatures_in(json));
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
  SEGUE_ASSIGN(const Json json, object_of(body, {"rights", "components", "keys"}));
  PersonBody person;
  SEGUE_ASSIGN(const auto words, texts_in(json, "rights", Person::kMaxRights));
  for (const auto& word : words) {
    const auto right = right_of(word);
    if (!right) {
      return fail(ErrorCode::invalid_argument,
                  "'{}' is no right: they are view, deploy, approve, sign and administer", word);
    }
    person.rights.push_back(*right);
  }
  SEGUE_ASSIGN(person.components, texts_in(json, "components", Person::kMaxComponents));
  for (const auto& component : person.components) {
    SEGUE_TRY(control::check_name(component, "a component"));
  }
  SEGUE_ASSIGN(person.keys, keys_in(json));
  SEGUE_TRY(check_keys(person));
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
