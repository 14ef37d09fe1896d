// SPDX-License-Identifier: Apache-2.0
// How deployments begin: by people, and by other programs, whose requests may come twice.
#include <nlohmann/json.hpp>
#include <utility>

#include "server/api.h"
#include "server/api_answers.h"
#include "server/api_bodies.h"

namespace segue::server {
namespace {

using base::ErrorCode;
using Json = nlohmann::json;

HttpAnswer answer_of(const Deployed& deployed, bool is_repeated) {
  const bool begins = !deployed.rollout.empty() && !is_repeated;
  Json json{{"rollout", deployed.rollout},
            {"revision", deployed.revision},
            {"text", deployed.text},
            {"repeated", is_repeated}};
  if (deployed.plan) json["plan"] = Json::parse(rollout::write_progress(*deployed.plan));
  return json_answer(json, begins ? 201 : 200);
}

// As the last rollout of the component had it.
std::optional<fleet::Strategy> last_strategy(const Books& books, const std::string& component) {
  const rollout::Rollout* last = nullptr;
  for (const auto& [id, stored] : books.rollouts) {
    const bool is_later = last == nullptr || stored.head.target > last->target;
    if (stored.head.component == component && is_later) last = &stored.head;
  }
  return last == nullptr ? std::nullopt : std::optional(last->strategy);
}

// What the next version of the component begins with: what is being rolled out, or what runs.
const Spec* last_spec(const Books& books, const std::string& component) {
  const auto found = books.components.find(component);
  if (found == books.components.end()) return nullptr;
  bool under_way = false;
  for (const auto& [id, stored] : books.rollouts) {
    const auto phase = stored.head.phase;
    under_way = under_way || (stored.head.component == component && !is_final(phase) &&
                              phase != rollout::Phase::undoing);
  }
  const bool takes_newest = under_way || found->second.current == fleet::kNoRevision;
  return books.spec(component, takes_newest ? found->second.newest : found->second.current);
}

}  // namespace

void Api::deploy(const Call& call) {
  auto body = read_deployment_body(call.request.body);
  if (!body) return call.give(server::answer_of(body.error()));
  deploy_once(call, {.spec = std::move(body->spec),
                     .strategy = std::move(body->strategy),
                     .author = call.person.name,
                     .title = std::move(body->title),
                     .signatures = std::move(body->signatures),
                     .dry_run = body->dry_run});
}

void Api::deploy_version(const Call& call) {
  auto body = read_version_body(call.request.body);
  if (!body) return call.give(server::answer_of(body.error()));
  const std::string& component = call.rest[0];
  const Spec* last = last_spec(control_.books(), component);
  if (last == nullptr) {
    return call.give(server::answer_of(
        {ErrorCode::not_found,
         fmt::format("there is no component '{}': the first time it takes `segue deploy` with its "
                     "segue.yaml",
                     component)}));
  }
  if (!last->spec.release.registry.empty()) {
    return call.give(server::answer_of(
        {ErrorCode::failed_precondition,
         fmt::format("'{}' comes from a registry, by its image's name: deploy its segue.yaml",
                     component)}));
  }
  Deployment deployment{.spec = last->spec,
                        .author = call.person.name,
                        .title = body->title,
                        .signatures = body->signatures,
                        .dry_run = body->dry_run};
  deployment.spec.release.version = body->version;
  deployment.strategy = last_strategy(control_.books(), component)
                            .value_or(fleet::careful(fleet::StrategyKind::rolling));
  if (deployment.title.empty()) deployment.title = fmt::format("{} {}", component, body->version);
  deploy_once(call, std::move(deployment));
}

// A request with a key that was carried out already gets the answer of that time.
void Api::deploy_once(const Call& call, Deployment deployment) {
  const std::string& component = deployment.spec.name;
  if (!call.person.may(Right::deploy, component)) {
    return call.give(server::answer_of(
        {ErrorCode::permission_denied, fmt::format("{} may not deploy '{}': only other components",
                                                   call.person.name, component)}));
  }
  if (const auto key = call.request.fields.find("idempotency-key");
      key != call.request.fields.end() && !deployment.dry_run) {
    auto request =
        Requests::identify(call.person.name, key->second, call.request.path, call.request.body);
    if (!request) return call.give(server::answer_of(request.error()));
    const auto known = control_.requests().find(*request);
    if (!known) {
      HttpAnswer answer = server::answer_of(known.error());
      answer.status = 422;
      return call.give(std::move(answer));
    }
    // A server that was killed in between may have stored the one and not the other.
    const bool is_done = *known && ((*known)->rollout.empty() ||
                                    control_.books().rollouts.contains((*known)->rollout));
    if (is_done) {
      const Deployed then{(*known)->rollout, (*known)->revision, (*known)->text, std::nullopt};
      return control_.when_stored([give = call.give, then] { give(answer_of(then, true)); });
    }
    deployment.also = [this, request = *request](store::Transaction& transaction,
                                                 const Deployed& deployed) {
      RequestRecord record = request;
      record.rollout = deployed.rollout;
      record.revision = deployed.revision;
      record.text = deployed.text;
      control_.requests().add_to(transaction, std::move(record));
    };
  }
  control_.rollouts().deploy(
      deployment, [give = call.give](const base::Result<Deployed>& deployed) {
        give(deployed ? answer_of(*deployed, false) : server::answer_of(deployed.error()));
      });
}

}  // namespace segue::server
