// SPDX-License-Identifier: Apache-2.0
#include "server/gate_keeper.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "server/documents.h"

namespace segue::server {
namespace {

using Json = nlohmann::json;
using rollout::Phase;
using rollout::StepPhase;

GateStage stage_of(const rollout::Rollout& head) {
  if (head.phase == Phase::watching) return GateStage::late;
  const bool is_moving = head.step_phase == StepPhase::moving ||
                         head.step_phase == StepPhase::renewing ||
                         head.step_phase == StepPhase::sharing;
  return is_moving ? GateStage::moving : GateStage::settled;
}

const fleet::Gate* definition_of(const rollout::Rollout& head, const std::string& name) {
  const auto& gates = head.strategy.gates;
  const auto found = std::ranges::find(gates, name, &fleet::Gate::name);
  return found == gates.end() ? nullptr : &*found;
}

std::string version_of(const Books& books, const std::string& component, fleet::Revision revision) {
  const Spec* spec = books.spec(component, revision);
  if (spec == nullptr) return "";
  const auto& release = spec->spec.release;
  return release.registry.empty() ? release.version : release.registry;
}

// The gate's document in that of its rollout: {"GATE": "…", …}.
std::string document_in(const std::string& text, const std::string& gate) {
  const Json json = Json::parse(text, nullptr, false);
  const auto found = json.is_object() ? json.find(gate) : json.end();
  return found != json.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

GateKeeper::GateKeeper(Parts parts) : parts_(std::move(parts)), stored_(parts_.books.gates) {}

milliseconds GateKeeper::now() const {
  return milliseconds(static_cast<std::int64_t>(milliseconds_of(parts_.clock.realtime_now())));
}

void GateKeeper::begin() {
  tick();
}

void GateKeeper::tick() {
  std::set<Key> wanted;
  for (const auto& one : parts_.rollouts.wanted_gates()) {
    wanted.insert({one.rollout, one.gate.gate});
    visit(one);
  }
  forget_what_is_over(wanted);
  parts_.scheduler.call_at(parts_.scheduler.now() + kTick,
                           [this, alive = std::weak_ptr<char>(alive_)] {
                             if (!alive.expired()) tick();
                           });
}

void GateKeeper::visit(const Rollouts::WantedGate& wanted) {
  const rollout::Engine* engine = parts_.rollouts.engine(wanted.rollout);
  if (engine == nullptr) return;  // what was told of another gate has ended it
  const rollout::Rollout& head = engine->head();
  const fleet::Gate* gate = definition_of(head, wanted.gate.gate);
  if (gate == nullptr) {
    return parts_.rollouts.judged(wanted.rollout,
                                  {.step = wanted.gate.step,
                                   .gate = wanted.gate.gate,
                                   .verdict = rollout::Verdict::wait,
                                   .text = "nobody has defined this gate: promote the step, or "
                                           "undo the rollout and define it"});
  }
  const Key key{wanted.rollout, wanted.gate.gate};
  Watched& one = watched(key, *gate, head);
  one.watch.enter(stage_of(head), now());
  const bool is_due = parts_.scheduler.now() >= one.next_look;
  if (is_due && !one.is_asking) return look(key, one, head);
  if (one.watch.judge(now()).verdict != one.told.verdict) tell(key, one);
}

GateKeeper::Watched& GateKeeper::watched(const Key& key, const fleet::Gate& gate,
                                         const rollout::Rollout& head) {
  const auto found = watched_.find(key);
  if (found != watched_.end() && found->second.watch.step() == head.step) return found->second;
  if (found != watched_.end()) watched_.erase(found);
  GateWatch watch(gate, {head.strategy.gate_limit, head.strategy.late_watch}, head.step, now());
  if (const auto kept = stored_.find(key.first); kept != stored_.end()) {
    const std::string document = document_in(kept->second, key.second);
    const auto resumed = document.empty() ? base::Result<void>() : watch.resume(document);
    if (!resumed && resumed.error().code() != base::ErrorCode::failed_precondition) {
      parts_.log.warning(
          "gate.begins-anew",
          {{"rollout", key.first}, {"gate", key.second}, {"why", resumed.error().to_string()}});
    }
  }
  // Two looks that overlap would count requests twice.
  const milliseconds since = std::max(now() - watch.last_look(), milliseconds(0));
  const milliseconds wait = std::max(gate.every - since, milliseconds(0));
  return watched_
      .emplace(key, Watched{.watch = std::move(watch), .next_look = parts_.scheduler.now() + wait})
      .first->second;
}

void GateKeeper::look(const Key& key, Watched& one, const rollout::Rollout& head) {
  const fleet::Gate& gate = one.watch.gate();
  one.next_look = parts_.scheduler.now() + gate.every;
  if (gate.kind == fleet::GateKind::handoff || gate.kind == fleet::GateKind::health) {
    return take(key, look_at(gate, figures_of(*parts_.rollouts.engine(key.first))));
  }
  const fleet::GateVersions versions{
      .version = version_of(parts_.books, head.component, head.target),
      .baseline_version = version_of(parts_.books, head.component, head.base)};
  const bool compares =
      gate.kind == fleet::GateKind::compare || gate.kind == fleet::GateKind::latency;
  if (compares && head.base == fleet::kNoRevision) {
    return take(key, {.contents = {},
                      .trouble = "nothing ran before, so there is nothing to compare it with: "
                                 "promote the step"});
  }
  one.is_asking =
      parts_.asker.ask({gate.prometheus, queries_of(gate, versions)},
                       [this, alive = std::weak_ptr<char>(alive_), key, gate,
                        step = head.step](const MetricAnswers& answers) {
                         if (alive.expired()) return;
                         const auto found = watched_.find(key);
                         if (found == watched_.end() || found->second.watch.step() != step) return;
                         found->second.is_asking = false;
                         take(key, look_at(gate, answers));
                       });
}

void GateKeeper::take(const Key& key, const GateLook& seen) {
  Watched& one = watched_.at(key);
  one.watch.take(seen, now());
  const bool decides = one.watch.judge(now()).verdict != one.told.verdict;
  keep(key.first, decides);
  tell(key, one);
}

// May end the rollout, and with it all of its gates.
void GateKeeper::tell(const Key& key, Watched& one) {
  one.told = one.watch.judge(now());
  parts_.rollouts.judged(key.first, {.step = one.watch.step(),
                                     .gate = key.second,
                                     .verdict = one.told.verdict,
                                     .text = one.told.text});
}

void GateKeeper::keep(const std::string& rollout, bool at_once) {
  milliseconds& kept_at = kept_at_[rollout];
  if (!at_once && now() - kept_at < kKeptEvery) return;
  kept_at = now();
  Json json = Json::object();
  for (const auto& [key, one] : watched_) {
    if (key.first == rollout) json[key.second] = one.watch.write();
  }
  stored_[rollout] = json.dump();
  store::Transaction transaction;
  transaction.put(gates_key(rollout), stored_[rollout]);
  parts_.ledger.write(std::move(transaction), {}, nullptr);
}

void GateKeeper::forget_what_is_over(const std::set<Key>& wanted) {
  std::erase_if(watched_, [&](const auto& one) { return !wanted.contains(one.first); });
  for (auto stored = stored_.begin(); stored != stored_.end();) {
    const rollout::Engine* engine = parts_.rollouts.engine(stored->first);
    if (engine != nullptr && !is_final(engine->head().phase)) {
      ++stored;
      continue;
    }
    store::Transaction transaction;
    transaction.erase(gates_key(stored->first));
    parts_.ledger.write(std::move(transaction), {}, nullptr);
    kept_at_.erase(stored->first);
    stored = stored_.erase(stored);
  }
}

// Those that this rollout has moved; a canary slot is started, or handed back or on later.
MovedFigures GateKeeper::figures_of(const rollout::Engine& engine) const {
  MovedFigures figures;
  const rollout::Rollout& head = engine.head();
  for (const auto& record : engine.records()) {
    if (record.settled != rollout::Settled::done || record.left || record.ended) continue;
    const fleet::ObservedHost* host = parts_.observed(record.host);
    const fleet::Observation* seen = nullptr;
    if (host != nullptr) {
      const auto found = host->instances.find({head.component, record.slot});
      if (found != host->instances.end()) seen = &found->second;
    }
    const fleet::Health health = seen == nullptr ? fleet::Health::unknown : seen->health;
    ++(health == fleet::Health::good  ? figures.healthy
       : health == fleet::Health::bad ? figures.unhealthy
                                      : figures.unknown);
    const bool tells = seen != nullptr && seen->order.starts_with(head.id + ".");
    if (!tells || !seen->handoff) {
      const bool is_start = record.slot == fleet::Slot::canary ||
                            record.back == fleet::kNoRevision || record.back == record.to;
      if (!tells || !is_start) {
        if (figures.untold++ == 0) figures.first_untold = record.host;
      } else {
        ++figures.started;
      }
      continue;
    }
    ++figures.handoffs;
    figures.lost += seen->handoff->lost;
    figures.worst_blackout_us = std::max(figures.worst_blackout_us, seen->handoff->blackout_us);
  }
  return figures;
}

}  // namespace segue::server
