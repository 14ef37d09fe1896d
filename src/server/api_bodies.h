// SPDX-License-Identifier: Apache-2.0
// What the bodies of requests say; protocol/openapi.json describes them. Pure. invalid_argument and
// data_loss name the member that is wrong; members that nobody knows are refused.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "fleet/component.h"
#include "fleet/deployment_statement.h"
#include "fleet/strategy.h"
#include "server/people.h"

namespace segue::server {

// {"on": true}; an empty body is that, too.
base::Result<bool> read_switch_body(std::string_view body);

struct DeploymentBody {
  fleet::ComponentSpec spec;
  fleet::Strategy strategy;
  std::string title;  // never empty
  std::vector<fleet::DeploymentSignature> signatures;
  bool dry_run = false;
};
base::Result<DeploymentBody> read_deployment_body(std::string_view body);

// Another version of what is deployed already.
struct VersionBody {
  std::string version;
  std::string title;                                   // empty: none
  std::vector<fleet::DeploymentSignature> signatures;  // of what becomes of it
  bool dry_run = false;
};
base::Result<VersionBody> read_version_body(std::string_view body);

// What somebody wants of a rollout.
struct ActionBody {
  std::string why;
  bool all = false;
};
base::Result<ActionBody> read_action_body(std::string_view body);

struct TokenBody {
  std::string site;
  bool is_relay = false;  // lets relays of the site join
  std::uint32_t uses = 1;
  std::chrono::seconds lifetime{3'600};
};
base::Result<TokenBody> read_token_body(std::string_view body);

struct PersonBody {
  std::vector<Right> rights;
  std::vector<std::string> components;  // that they are limited to; empty: all
  std::vector<SigningKey> keys;         // each once; of who may sign, and of nobody else
};
base::Result<PersonBody> read_person_body(std::string_view body);

struct WebhookBody {
  std::string url;
  std::vector<std::string> kinds;  // empty: all
};
base::Result<WebhookBody> read_webhook_body(std::string_view body);

}  // namespace segue::server
