// SPDX-License-Identifier: Apache-2.0
// What somebody wants of a component becomes a rollout, or is refused; or it is only said
// what would begin.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "fleet/component_check.h"
#include "fleet/component_document.h"
#include "fleet/joint_check.h"
#include "rollout/planning.h"
#include "server/rollouts.h"

namespace segue::server {

using base::ErrorCode;
using base::fail;
using base::Result;
using fleet::Slot;

// What is wanted, beside what the books say is so.
struct Rollouts::Wanted {
  ComponentRecord component;  // as it is
  std::vector<rollout::Rollout> pending;
  bool is_same = false;     // as the newest revision, which everything leads to
  bool catches_up = false;  // … and some hosts lack it
};

Rollouts::Wanted Rollouts::compare(const Deployment& deployment) const {
  const std::string& name = deployment.spec.name;
  const auto known = books_.components.find(name);
  Wanted wanted{
      .component = known == books_.components.end() ? ComponentRecord{.name = name} : known->second,
      .pending = under_way(name)};
  const ComponentRecord& component = wanted.component;
  // What is being undone is wanted anew.
  const bool leads_there = wanted.pending.empty()
                               ? component.current == component.newest
                               : wanted.pending.back().target == component.newest &&
                                     wanted.pending.back().phase != rollout::Phase::undoing;
  const Spec* newest = books_.spec(name, component.newest);
  wanted.is_same = newest != nullptr && newest->spec == deployment.spec && leads_there;
  wanted.catches_up = wanted.is_same && wanted.pending.empty() && lacks_hosts(component);
  return wanted;
}

bool Rollouts::lacks_hosts(const ComponentRecord& component) const {
  const Spec* spec = books_.spec(component.name, component.current);
  if (spec == nullptr) return false;
  return std::any_of(books_.hosts.begin(), books_.hosts.end(), [&](const auto& one) {
    const HostRecord& host = one.second;
    if (host.revoked || host.drained || !selects(spec->spec.hosts, host)) return false;
    const auto there = books_.assignments.find({host.name, component.name, Slot::stable});
    return there == books_.assignments.end() || there->second.revision != component.current;
  });
}

// By the component as it is to be.
std::vector<rollout::HostFacts> Rollouts::meant(const Deployment& deployment) const {
  std::vector<rollout::HostFacts> all;
  for (const auto& [name, host] : books_.hosts) {
    if (selects(deployment.spec.hosts, host)) all.push_back(facts_of(host, {}));
  }
  return all;
}

Result<void> Rollouts::check(const Deployment& deployment) const {
  SEGUE_TRY(fleet::check_component(deployment.spec));
  SEGUE_TRY(fleet::check_together(deployment.spec, deployment.strategy));
  SEGUE_TRY(check_proxy(deployment.spec));
  if (ledger_.trouble().empty()) return {};
  return fail(ErrorCode::unavailable, "nothing new is begun: {}", ledger_.trouble());
}

Result<void> Rollouts::check_proxy(const fleet::ComponentSpec& spec) const {
  const std::string& name = spec.sharing.proxy_host;
  if (name.empty()) return {};
  const auto host = books_.hosts.find(name);
  if (host != books_.hosts.end() && !host->second.revoked && !host->second.is_relay) return {};
  return fail(ErrorCode::failed_precondition,
              "sharing.proxy_host: there is no host '{}' in the fleet whose agent could speak with "
              "the proxy: let it join (`segue token`), or name another (`segue hosts`)",
              name);
}

void Rollouts::deploy(const Deployment& deployment, OnDeployed on_done) {
  if (const auto fine = check(deployment); !fine) return on_done(fail(fine.error()));
  const Wanted wanted = compare(deployment);
  if (wanted.is_same && !wanted.catches_up) return say_same(deployment, wanted, std::move(on_done));
  const auto signing = check_signed(deployment, wanted);
  if (!signing) return on_done(fail(signing.error()));
  const auto admission = rollout::admit(deployment.strategy.meanwhile, wanted.pending);
  if (!admission) return on_done(fail(admission.error()));

  ComponentRecord component = wanted.component;
  if (!wanted.catches_up) component.newest += 1;
  component.rollouts += 1;
  auto engine = rollout::Engine::propose(
      {.id = fmt::format("{}-{}", component.name, component.rollouts),
       .component = component.name,
       .author = deployment.author,
       .title = deployment.title,
       .target = component.newest,
       .checks_health = deployment.spec.health.kind != fleet::HealthCheck::Kind::none,
       .strategy = deployment.strategy,
       .behind = admission->behind},
      now());
  if (!engine) return on_done(fail(engine.error()));
  Deployed deployed{"", component.newest, admission->text, std::nullopt};
  if (wanted.catches_up) deployed.text = "it goes to the hosts that lack it";
  if (const std::string said = signing_text(*signing); !said.empty()) deployed.text += "; " + said;
  for (const auto& sentence : rollout::waves_left_out(deployment.strategy, meant(deployment))) {
    deployed.text += "; " + sentence;
  }
  if (deployment.dry_run)
    return on_done(try_out(*std::move(engine), deployment, *signing, deployed));
  deployed.rollout = engine->head().id;
  set_out(*std::move(engine), deployment, component, *admission, deployed, *signing,
          std::move(on_done));
}

// A revision that was let in already needs nobody's word again.
Result<Signing> Rollouts::check_signed(const Deployment& deployment, const Wanted& wanted) const {
  if (wanted.catches_up) return Signing{};
  SEGUE_ASSIGN(auto signing, observer_.signing(deployment));
  if (!signing.is_missing() || deployment.dry_run) return signing;
  return fail(missing_signature(deployment.spec.name, signing));
}

void Rollouts::say_same(const Deployment& deployment, const Wanted& wanted, OnDeployed on_done) {
  const bool runs = wanted.pending.empty();
  const Deployed same{runs ? "" : wanted.pending.back().id, wanted.component.newest,
                      runs ? "it is what runs already" : "the same change is under way already",
                      std::nullopt};
  if (!deployment.also || deployment.dry_run) return on_done(same);
  store::Transaction transaction;
  deployment.also(transaction, same);
  ledger_.write(std::move(transaction), {},
                [on_done = std::move(on_done), same](store::Revision) { on_done(same); });
}

// A dry run. What waits for another rollout is planned when that has ended.
Result<Deployed> Rollouts::try_out(rollout::Engine engine, const Deployment& deployment,
                                   const Signing& signing, Deployed deployed) {
  if (!engine.head().behind.empty()) return deployed;
  const std::pair key(engine.head().component, deployed.revision);
  const bool is_new =
      books_.specs.try_emplace(key, deployment.spec, fleet::write_component(deployment.spec))
          .second;
  const auto planned = plan(engine);
  if (is_new) books_.specs.erase(key);
  if (!planned) return fail(planned.error());
  deployed.plan = engine.progress(now(), Deployment::kMaxPlanned);
  deployed.plan->signed_by = signers_in(signing.signatures);
  return deployed;
}

void Rollouts::set_out(rollout::Engine engine, const Deployment& deployment,
                       const ComponentRecord& component, const rollout::Admission& admission,
                       const Deployed& deployed, const Signing& signing, OnDeployed on_done) {
  const std::pair key(component.name, component.newest);
  const std::string document = fleet::write_component(deployment.spec);
  const bool is_new =
      books_.specs.try_emplace(key, Spec{deployment.spec, document, signing.signatures}).second;
  auto changes =
      admission.behind.empty() ? begin(engine) : Result<rollout::Changes>(engine.announce());
  if (!changes) {
    if (is_new) books_.specs.erase(key);
    resume_lingering();
    return on_done(fail(changes.error()));
  }
  books_.components[component.name] = component;
  store::Transaction transaction;
  transaction.put(spec_key(component.name, component.newest), document)
      .put(component_key(component.name), write_record(component));
  if (!signing.signatures.empty()) {
    transaction.put(signatures_key(component.name, component.newest),
                    write_record(signing.signatures));
  }
  if (deployment.also) deployment.also(transaction, deployed);
  const std::string& id = deployed.rollout;
  ledger_.write(
      std::move(transaction),
      {{deployment.author, "deploy", id,
        fmt::format("{} revision {}: {}", component.name, component.newest, deployed.text)}},
      nullptr);
  if (!admission.supersedes.empty()) take_over(admission.supersedes, deployment.author, id);
  auto& active =
      *active_.emplace(id, std::make_unique<Active>(Active{std::move(engine)})).first->second;
  if (!signing.signatures.empty()) {
    observer_.on_notice(id, {.severity = rollout::Severity::info,
                             .by = deployment.author,
                             .text = signing_text(signing)});
  }
  write(id, *std::move(changes));
  ledger_.write({}, {},
                [on_done = std::move(on_done), deployed](store::Revision) { on_done(deployed); });
  give_observations(active);
  if (books_.fleet.stopped) give(active, rollout::EmergencyStop{books_.fleet.stopped_by, true});
  after(active);
}

void Rollouts::take_over(const std::string& rollout, const std::string& by,
                         const std::string& newer) {
  const auto found = active_.find(rollout);
  if (found != active_.end()) give(*found->second, rollout::Supersede{by, newer});
}

Result<rollout::Changes> Rollouts::plan(rollout::Engine& engine) const {
  const auto component = books_.components.find(engine.head().component);
  const fleet::Revision good =
      component == books_.components.end() ? fleet::kNoRevision : component->second.current;
  rollout::Rollout head = engine.head();
  head.base = good;
  return engine.begin(good, facts_for(head), now());
}

}  // namespace segue::server
