// SPDX-License-Identifier: Apache-2.0
// deploy: gives the server of the fleet what a segue.yaml says, signed where somebody signs it.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "cli/commands.h"
#include "cli/deployment_signatures.h"
#include "cli/server_client.h"
#include "cli/signing_keys.h"
#include "fleet/component_document.h"
#include "os/files.h"
#include "pki/certificate.h"
#include "service/service_file.h"

namespace segue::cli {
namespace {

using base::Result;
using control::ExitCode;
using fleet::DeploymentSignature;

// "    step 2 of 3, rest: berlin-2, oslo-1"
std::string planned_step(const Json& plan, std::size_t step) {
  const Json& known = plan["steps"][step];
  std::vector<std::string> hosts;
  for (const auto& instance : plan["instances"]) {
    if (instance.value("step", std::size_t{0}) == step) hosts.push_back(text_of(instance, "host"));
  }
  const std::size_t all = known.value("instances", std::size_t{0});
  std::string text = fmt::format("\n    step {} of {}, {}", step + 1, plan["steps"].size(),
                                 text_of(known, "name"));
  if (!hosts.empty()) text += fmt::format(": {}", fmt::join(hosts, ", "));
  if (all > hosts.size()) text += fmt::format(" and {} more", all - hosts.size());
  return text;
}

std::string deployed_text(const fleet::ComponentSpec& spec, const Json& answer) {
  const Json plan = answer.value("plan", Json());
  const std::string rollout = text_of(answer, "rollout");
  std::string text = fmt::format("{}: {}{}", spec.name, rollout.empty() ? "" : rollout + " ",
                                 text_of(answer, "text"));
  if (!plan.is_object()) return text;
  text += fmt::format("; {} would become revision {}", spec.release.version,
                      answer.value("revision", 0));
  for (std::size_t step = 0; step < plan["steps"].size(); ++step) text += planned_step(plan, step);
  return text;
}

// With what the components are signed, as the options say.
struct Signer {
  std::string fleet;  // empty: nothing is signed
  std::vector<crypto::PrivateKey> keys;
  std::optional<SignatureFile> given;

  static Result<Signer> open(const FleetOptions& options, const ServerClient& server) {
    Signer signer;
    if (options.signers.empty() && options.signatures.empty()) return signer;
    SEGUE_ASSIGN(const auto authority, pki::key_in(server.authority()));
    signer.fleet = pki::fingerprint_of(authority);
    for (const auto& path : options.signers) {
      SEGUE_ASSIGN(auto key, read_private_key(path, options.passphrase_file));
      signer.keys.push_back(std::move(key));
    }
    if (options.signatures.empty()) return signer;
    SEGUE_ASSIGN(const std::string bytes,
                 os::read_file(options.signatures, SignatureFile::kMaxBytes));
    auto file = read_signature_file(bytes);
    if (!file) return base::fail(std::move(file).error().with(options.signatures));
    signer.given = *std::move(file);
    return signer;
  }

  // Each key's once.
  [[nodiscard]] Result<std::vector<DeploymentSignature>> sign(
      const fleet::ComponentSpec& spec) const {
    SEGUE_ASSIGN(auto signatures, sign_with(keys, fleet, spec));
    if (!given) return signatures;
    SEGUE_ASSIGN(const auto theirs, signatures_for(*given, fleet, spec));
    for (const auto& one : theirs) {
      const bool is_there =
          std::ranges::find(signatures, one.key, &DeploymentSignature::key) != signatures.end();
      if (!is_there) signatures.push_back(one);
    }
    return signatures;
  }
};

using Chosen = std::vector<const service::ServiceComponent*>;

ExitCode write_signatures(const Context& context, const Signer& signer, const Chosen& chosen) {
  Output& output = context.output;
  const std::string& path = context.arguments.fleet.write_signatures;
  SignatureFile file{.fleet = signer.fleet, .components = {}};
  std::vector<std::string> names;
  for (const auto* component : chosen) {
    auto signatures = signer.sign(component->spec);
    if (!signatures) return output.fail(signatures.error());
    file.components[component->spec.name] = {fleet::specification_digest(component->spec),
                                             *std::move(signatures)};
    names.push_back(component->spec.name);
  }
  if (!context.arguments.dry_run) {
    const auto written = os::write_file_atomically(path, write_signature_file(file), 0644);
    if (!written) return output.fail(written.error());
  }
  return output.finish(
      ExitCode::done,
      fmt::format("the signatures of {} {} {}; `segue deploy --signatures` takes them, and nothing "
                  "is deployed so far",
                  fmt::join(names, ", "),
                  context.arguments.dry_run ? "would be written to" : "are in", path));
}

// What the server is asked; of all components before the first of them is deployed.
Result<Json> request_for(const Context& context, const Signer& signer,
                         const service::ServiceComponent& component) {
  Json body{{"component", Json::parse(fleet::write_component(component.spec))},
            {"strategy", Json::parse(fleet::write_strategy(component.strategy))},
            {"title", context.arguments.fleet.title},
            {"dry_run", context.arguments.dry_run}};
  SEGUE_ASSIGN(const auto signatures, signer.sign(component.spec));
  for (const auto& one : signatures) {
    body["signatures"].push_back({{"key", one.key}, {"signature", one.signature}});
  }
  return body;
}

ExitCode deploy_each(const Context& context, const ServerClient& server, const Signer& signer,
                     const Chosen& chosen) {
  Output& output = context.output;
  std::vector<Json> requests;
  for (const auto* component : chosen) {
    auto request = request_for(context, signer, *component);
    if (!request) return output.fail(request.error());
    requests.push_back(*std::move(request));
  }
  Json rollouts = Json::array();
  std::string said;
  for (std::size_t i = 0; i < chosen.size(); ++i) {
    const fleet::ComponentSpec& spec = chosen[i]->spec;
    const auto answer = server.ask("POST", "/v1/deployments", requests[i]);
    if (!answer) {
      return output.fail(answer.error().with(fmt::format("{} is not rolled out", spec.name)));
    }
    rollouts.push_back(*answer);
    rollouts.back()["component"] = spec.name;
    said += (said.empty() ? "" : "\n") + deployed_text(spec, *answer);
  }
  if (!output.json()) return output.finish(ExitCode::done, said);
  return output.finish(Json{{"done", true}, {"exit", 0}, {"rollouts", rollouts}, {"text", said}});
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
  Chosen chosen;
  for (const auto& component : reading.service->components) {
    const bool is_chosen = options.component.empty() || component.spec.name == options.component;
    if (is_chosen) chosen.push_back(&component);
  }
  if (chosen.empty()) {
    return output.finish(ExitCode::usage,
                         fmt::format("{} has no component '{}'", options.file, options.component));
  }
  const auto server = ServerClient::open(options);
  if (!server) return output.fail(server.error());
  const auto signer = Signer::open(options, *server);
  if (!signer) return output.fail(signer.error());
  if (!options.write_signatures.empty()) return write_signatures(context, *signer, chosen);
  return deploy_each(context, *server, *signer, chosen);
}

}  // namespace segue::cli
