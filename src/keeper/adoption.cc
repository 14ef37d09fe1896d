// SPDX-License-Identifier: Apache-2.0
#include "keeper/adoption.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "control/text.h"

namespace segue::keeper {
namespace {

using control::version_text;

constexpr const char* kKeeperDied = "the keeper died";

void close(Attempt attempt, Outcome outcome, std::string why, std::string aftermath,
           MonotonicTime now, AdoptionPlan& plan) {
  attempt.outcome = outcome;
  if (attempt.why.empty()) attempt.why = std::move(why);
  attempt.aftermath = std::move(aftermath);
  attempt.ended = now;
  plan.concluded.push_back(std::move(attempt));
}

// The two instances finish without a keeper what it had begun: who owns tells how.
void conclude(Attempt attempt, std::optional<Attempt> undone, Generation owner,
              const std::string& label, MonotonicTime now, AdoptionPlan& plan) {
  ComponentSnapshot& component = plan.component;
  const std::string serves = version_text(label) + " serves";
  if (owner == attempt.successor) {
    if (attempt.to.empty()) attempt.to = label;
    if (!attempt.activated) attempt.activated = now;  // at some time before
    attempt.committed = now;
    if (attempt.kind != Kind::undo) {
      component.previous.push_back({component.owner_launch, attempt.from, attempt.from_forms});
    } else if (!undone && !component.previous.empty()) {
      component.previous.pop_back();
    }
    component.owner_launch = attempt.launch;
    component.restarts_in_row = 0;
    close(std::move(attempt), Outcome::done, "its keeper died meanwhile", serves, now, plan);
    if (undone)
      close(*std::move(undone), Outcome::undone, kKeeperDied, serves + " again", now, plan);
    return;
  }
  if (undone && owner == undone->successor) {  // what was to be undone stays
    component.previous.push_back({component.owner_launch, undone->from, undone->from_forms});
    component.owner_launch = undone->launch;
    undone->hand_back_failed = true;
    close(std::move(attempt), Outcome::failed, kKeeperDied, serves + " on", now, plan);
    close(*std::move(undone), Outcome::failed, kKeeperDied, serves + " on", now, plan);
    return;
  }
  // The predecessor: from its freeze, where the successor had been active already.
  const bool was_active = attempt.activated.has_value();
  close(std::move(attempt), was_active ? Outcome::undone : Outcome::failed,
        was_active ? "it died or hung, without a keeper" : kKeeperDied,
        serves + (was_active ? " again, as it was when it was frozen" : " on"), now, plan);
  if (undone) close(*std::move(undone), Outcome::undone, kKeeperDied, serves + " again", now, plan);
}

}  // namespace

AdoptionPlan plan_adoption(ComponentSnapshot saved, const std::vector<FoundInstance>& found,
                           Generation owner, MonotonicTime now) {
  AdoptionPlan plan{std::move(saved), {}};
  ComponentSnapshot& component = plan.component;
  const Generation committed_predecessor =
      component.attempt && owner == component.attempt->successor ? component.attempt->predecessor
                                                                 : 0;
  std::vector<Instance> living;
  for (Instance& instance : component.instances) {
    const auto alive = std::find_if(found.begin(), found.end(), [&](const FoundInstance& entry) {
      return entry.generation == instance.generation;
    });
    if (alive == found.end()) continue;
    instance.pid = alive->pid;
    instance.channel_open = alive->rejoined;
    instance.connections = alive->connections;
    if (instance.generation == owner) {
      if (instance.role != Role::serving) instance.active_since = now;
      instance.role = Role::serving;
      instance.said_hello = true;
      instance.service = alive->service;
      instance.version = alive->version;
      instance.abilities = alive->abilities;
      instance.forms = alive->forms;
    } else if (instance.role != Role::ending) {
      instance.role = Role::ending;
      instance.end_policy =
          instance.generation == committed_predecessor ? EndPolicy::committed : EndPolicy::refused;
      instance.ending_since = now;
      instance.end_step = 0;
    }
    living.push_back(instance);
  }
  component.instances = std::move(living);
  component.owner = owner;
  component.phase = Phase::serving;
  component.phase_since = now;
  const auto serving =
      std::find_if(component.instances.begin(), component.instances.end(),
                   [&](const Instance& instance) { return instance.generation == owner; });
  SEGUE_ASSERT(serving != component.instances.end());
  component.service = serving->service;
  std::optional<Attempt> attempt = std::exchange(component.attempt, std::nullopt);
  std::optional<Attempt> undone = std::exchange(component.undone, std::nullopt);
  if (attempt) {
    conclude(*std::move(attempt), std::move(undone), owner, serving->label(), now, plan);
  }
  // A first instance that became active, and the keeper died before it could note it.
  if (component.owner_launch.argv.empty()) component.owner_launch = serving->launch;
  return plan;
}

}  // namespace segue::keeper
