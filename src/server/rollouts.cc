// SPDX-License-Identifier: Apache-2.0
#include "server/rollouts.h"

#include <algorithm>
#include <utility>
#include <variant>

namespace segue::server {

using base::ErrorCode;
using base::fail;
using base::Result;
using fleet::Slot;

Rollouts::Rollouts(Books& books, Ledger& ledger, store::Scheduler& scheduler,
                   const os::Clock& clock, Observer observer)
    : books_(books),
      ledger_(ledger),
      scheduler_(scheduler),
      clock_(clock),
      observer_(std::move(observer)),
      stored_(books.assignments) {
  for (const auto& [instance, assignment] : stored_) {
    proxies_.assigned(instance, assignment, proxy_spec(instance.component, assignment));
  }
  for (const auto& [name, host] : books_.hosts) {
    if (host.revoked) proxies_.left(name, true);
  }
}

Rollouts::~Rollouts() = default;

rollout::Now Rollouts::now() const {
  return {clock_.realtime_now(), scheduler_.now()};
}

// ---- Beginning

void Rollouts::resume() {
  for (auto& [id, stored] : books_.rollouts) {
    if (is_final(stored.head.phase)) continue;
    active_.emplace(id, std::make_unique<Active>(
                            Active{rollout::Engine(stored.head, std::move(stored.records))}));
    stored.records.clear();
  }
  for (const auto& id : ids_of("")) {
    const auto found = active_.find(id);
    if (found != active_.end()) start(*found->second);
  }
  resume_lingering();
  for (const auto& [instance, assignment] : stored_) end_behind_proxy(instance);
}

// Of a component's last rollout canary slots may still have connections: they end with those.
void Rollouts::resume_lingering() {
  std::map<std::string, const rollout::Rollout*> last;
  for (const auto& [id, stored] : books_.rollouts) {
    const auto [found, is_first] = last.try_emplace(stored.head.component, &stored.head);
    if (!is_first && found->second->target < stored.head.target) found->second = &stored.head;
  }
  for (const auto& [component, head] : last) {
    if (!is_final(head->phase) || active_.contains(head->id)) continue;
    auto active = std::make_unique<Active>(
        Active{.engine = rollout::Engine(*head, books_.rollouts.at(head->id).records),
               .woken_at = std::nullopt,
               .is_over = true});
    (void)active->engine.resume(facts_for(*head), now());
    if (!active->engine.has_lingering_canaries()) continue;
    give_observations(*active_.emplace(head->id, std::move(active)).first->second);
  }
}

void Rollouts::let_go(const std::string& component) {
  for (const auto& id : ids_of(component)) {
    const auto found = active_.find(id);
    if (!is_final(found->second->engine.head().phase)) continue;
    write(id, found->second->engine.let_go(now()));
    books_.rollouts[id] = {found->second->engine.head(), found->second->engine.records()};
    active_.erase(found);
  }
}

void Rollouts::start(Active& active) {
  const rollout::Rollout& head = active.engine.head();
  // Whoever it waited for may have ended while it was waiting itself.
  const std::string before = older_than(head);
  if (head.phase == rollout::Phase::waiting && !before.empty()) {
    if (before != head.behind) give(active, rollout::PredecessorEnded{before});
    return;
  }
  const std::string id = head.id;
  if (head.phase == rollout::Phase::preparing || head.phase == rollout::Phase::waiting) {
    auto changes = begin(active.engine);
    if (!changes) {
      observer_.on_notice(id, {.severity = rollout::Severity::alarm,
                               .by = "engine",
                               .text = changes.error().message()});
      return;
    }
    write(id, *std::move(changes));
  } else {
    write(id, active.engine.resume(facts_for(head), now()));
  }
  give_observations(active);
  after(active);
}

Result<rollout::Changes> Rollouts::begin(rollout::Engine& engine) {
  let_go(engine.head().component);
  return plan(engine);
}

// ---- What happens

Result<void> Rollouts::command(const std::string& rollout, const rollout::Event& event) {
  auto found = active_.find(rollout);
  if (found == active_.end()) {
    const auto stored = books_.rollouts.find(rollout);
    if (stored == books_.rollouts.end()) {
      return fail(ErrorCode::not_found, "there is no rollout '{}'", rollout);
    }
    SEGUE_TRY(check_over(stored->second.head, event));
    let_go(stored->second.head.component);
    found = active_
                .emplace(rollout, std::make_unique<Active>(Active{rollout::Engine(
                                      stored->second.head, stored->second.records)}))
                .first;
    const auto facts = facts_for(stored->second.head);
    write(rollout, found->second->engine.resume(facts, now()));
    write(rollout, found->second->engine.take_along(facts, now()));
  }
  auto& active = *found->second;
  if (is_final(active.engine.head().phase)) SEGUE_TRY(check_over(active.engine.head(), event));
  auto changes = active.engine.handle(event, now());
  if (changes) {
    write(rollout, *std::move(changes));
    give_observations(active);
    if (books_.fleet.stopped) give(active, rollout::EmergencyStop{books_.fleet.stopped_by, true});
  }
  after(active);
  return changes ? Result<void>() : fail(changes.error());
}

// One that is over may still be undone, unless another has come after it: two would order the same
// instances, and this one would skip what the other one brought.
Result<void> Rollouts::check_over(const rollout::Rollout& head, const rollout::Event& event) const {
  const bool has_failed = head.phase == rollout::Phase::failed && !head.steps.empty();
  const bool is_undo = std::holds_alternative<rollout::Undo>(event);
  if (!is_undo || (head.phase != rollout::Phase::done && !has_failed)) {
    const auto refused = rollout::Engine(head, {}).handle(event, now());
    if (!refused) return fail(refused.error());
    return fail(ErrorCode::failed_precondition, "rollout {} is {}: it is over", head.id,
                to_string(head.phase));
  }
  const auto others = under_way(head.component);
  if (!others.empty()) {
    return fail(ErrorCode::failed_precondition,
                "rollout {} of {} is {}: undo that one first, or wait for its end",
                others.back().id, head.component, to_string(others.back().phase));
  }
  const auto component = books_.components.find(head.component);
  const fleet::Revision left_at = has_failed ? head.base : head.target;
  if (component == books_.components.end() || component->second.current == left_at) return {};
  return fail(ErrorCode::failed_precondition,
              "{} has come to revision {} since, and rollout {} left it at {}: undo newer rollouts "
              "first, the newest before the others (`segue rollout list`)",
              head.component, component->second.current, head.id, left_at);
}

void Rollouts::stop(const std::string& by, bool on) {
  for (const auto& id : ids_of("")) {
    const auto found = active_.find(id);
    if (found != active_.end()) give(*found->second, rollout::EmergencyStop{by, on});
  }
}

void Rollouts::host_observed(const std::string& host, const fleet::ObservedHost& observed) {
  for (const auto& [key, seen] : observed.instances) {
    for (const auto& id : ids_of(key.first)) {
      const auto found = active_.find(id);
      if (found == active_.end()) continue;
      give(*found->second,
           this->observed(found->second->engine.head(), {host, key.first, key.second}, seen));
    }
  }
  for (const auto& [component, share] : observed.shares) proxy_observed(host, component);
}

// What a proxy does counts for canaries on other hosts, too.
void Rollouts::proxy_observed(const std::string& host, const std::string& component) {
  for (const auto& instance : proxies_.behind(host, component)) {
    end_behind_proxy(instance);
    const fleet::ObservedHost* there = observer_.observed(instance.host);
    if (there == nullptr) continue;
    const auto seen = there->instances.find({component, instance.slot});
    if (seen == there->instances.end()) continue;
    const fleet::Observation observation = seen->second;
    for (const auto& id : ids_of(component)) {
      const auto found = active_.find(id);
      if (found == active_.end()) continue;
      give(*found->second, observed(found->second->engine.head(), instance, observation));
    }
  }
}

void Rollouts::host_silent(const std::string& host, bool silent) {
  for (const auto& id : ids_of("")) {
    const auto found = active_.find(id);
    if (found != active_.end()) give(*found->second, rollout::HostSilent{host, silent});
  }
  for (const auto& [component, share] : proxies_.of(host)) proxy_observed(host, component);
}

void Rollouts::host_drained(const std::string& host, bool drained) {
  for (const auto& id : ids_of("")) {
    const auto found = active_.find(id);
    if (found != active_.end()) give(*found->second, rollout::HostDrained{host, drained});
  }
}

void Rollouts::host_joined(const HostRecord& host) {
  for (const auto& id : ids_of("")) {
    const auto found = active_.find(id);
    if (found == active_.end()) continue;
    const rollout::HostFacts facts = facts_of(host, found->second->engine.head());
    if (facts.to != fleet::kNoRevision) give(*found->second, rollout::HostJoined{facts});
  }
  set_left(host.name, false);
}

void Rollouts::host_left(const std::string& host) {
  for (const auto& id : ids_of("")) {
    const auto found = active_.find(id);
    if (found != active_.end()) give(*found->second, rollout::HostLeft{host});
  }
  set_left(host, true);
  for (const auto& [component, share] : proxies_.of(host)) proxy_observed(host, component);
}

void Rollouts::judged(const std::string& rollout, const rollout::Judged& verdict) {
  const auto found = active_.find(rollout);
  if (found != active_.end()) give(*found->second, verdict);
}

void Rollouts::give(Active& active, const rollout::Event& event) {
  auto changes = active.engine.handle(event, now());
  if (changes) {
    write(active.engine.head().id, *std::move(changes));
  } else {
    observer_.on_notice(active.engine.head().id, {.severity = rollout::Severity::warning,
                                                  .by = "engine",
                                                  .text = changes.error().message()});
  }
  after(active);
}

// An engine that was just made has heard nothing so far.
std::vector<rollout::Observed> Rollouts::observations(const rollout::Engine& engine) const {
  const rollout::Rollout& head = engine.head();
  std::vector<rollout::Observed> told;
  for (const auto& record : engine.records()) {
    const fleet::ObservedHost* host = observer_.observed(record.host);
    if (host == nullptr) continue;
    const auto seen = host->instances.find({head.component, record.slot});
    if (seen == host->instances.end()) continue;
    told.push_back(observed(head, {record.host, head.component, record.slot}, seen->second));
  }
  return told;
}

void Rollouts::give_observations(Active& active) {
  for (const auto& one : observations(active.engine)) {
    auto changes = active.engine.handle(one, now());
    if (changes) write(active.engine.head().id, *std::move(changes));
  }
}

// ---- What is decided

void Rollouts::write(const std::string& rollout, rollout::Changes changes) {
  std::vector<Deed> deeds;
  for (const auto& notice : changes.notices) {
    observer_.on_notice(rollout, notice);
    const std::string where = notice.host.empty() ? "" : " on " + notice.host;
    deeds.push_back({notice.by, fmt::format("rollout.{}", to_string(notice.severity)),
                     rollout + where, notice.text});
  }
  for (auto& batch : changes.batches) {
    write_batch(rollout, std::move(batch), std::exchange(deeds, {}));
  }
  if (!deeds.empty()) ledger_.write({}, deeds, nullptr);
}

void Rollouts::write_batch(const std::string& rollout, rollout::Batch batch,
                           std::vector<Deed> deeds) {
  store::Transaction transaction;
  const std::string component = active_.contains(rollout)
                                    ? active_.at(rollout)->engine.head().component
                                    : rollout.substr(0, rollout.rfind('-'));
  if (batch.head) {
    transaction.put(rollout_key(rollout), rollout::write_rollout(*batch.head));
    keep_final(transaction, *batch.head);
    const auto before = books_.rollouts.find(rollout);
    if (observer_.on_head) {
      observer_.on_head(transaction,
                        before == books_.rollouts.end() ? nullptr : &before->second.head,
                        *batch.head);
    }
    books_.rollouts[rollout].head = *batch.head;
  }
  Assigned assigned;
  for (const auto& change : batch.instances) {
    const auto& record = change.record;
    transaction.put(rollout_record_key(rollout, record.host, record.slot),
                    rollout::write_record(record));
    if (!change.assigns) continue;
    fleet::InstanceId instance{record.host, component, record.slot};
    const fleet::Assignment assignment = as_stored(instance, record.assignment);
    transaction.put(assignment_key(instance), write_record(assignment));
    books_.assignments[instance] = assignment;
    assigned.emplace_back(std::move(instance), assignment);
  }
  const std::size_t room = store::kMaxOperations - transaction.operations.size() - 1;
  std::vector<Deed> rest;
  if (deeds.size() > room) {
    rest.assign(deeds.begin() + static_cast<std::ptrdiff_t>(room), deeds.end());
    deeds.resize(room);
  }
  ledger_.write(std::move(transaction), deeds,
                [this, alive = std::weak_ptr<char>(alive_),
                 assigned = std::move(assigned)](store::Revision revision) {
                  if (!alive.expired()) take_stored(assigned, revision);
                });
  while (!rest.empty()) {
    const std::size_t count = std::min<std::size_t>(rest.size(), 100);
    const auto end = rest.begin() + static_cast<std::ptrdiff_t>(count);
    ledger_.write({}, {rest.begin(), end}, nullptr);
    rest.erase(rest.begin(), end);
  }
}

void Rollouts::take_stored(const Assigned& assigned, store::Revision revision) {
  // A host hears once of all that one revision changed: its generation.
  std::set<std::string> hosts;
  for (const auto& [instance, assignment] : assigned) {
    stored_[instance] = assignment;
    hosts.insert(instance.host);
    hosts.merge(
        proxies_.assigned(instance, assignment, proxy_spec(instance.component, assignment)));
  }
  for (const auto& host : hosts) observer_.on_assigned(host, revision);
  for (const auto& [instance, assignment] : assigned) end_behind_proxy(instance);
}

// Which revision is the current one changes with the head, in one transaction.
void Rollouts::keep_final(store::Transaction& transaction, const rollout::Rollout& head) {
  const auto found = books_.components.find(head.component);
  if (found == books_.components.end()) return;
  fleet::Revision current = found->second.current;
  if (head.phase == rollout::Phase::done) current = head.target;
  // One that never began knows of no base. Where the way back has failed it is wanted all the same.
  const bool goes_back =
      head.phase == rollout::Phase::undone || head.phase == rollout::Phase::failed;
  if (goes_back && !head.steps.empty()) current = head.base;
  if (current == found->second.current) return;
  found->second.current = current;
  transaction.put(component_key(head.component), write_record(found->second));
}

void Rollouts::after(Active& active) {
  const rollout::Rollout& head = active.engine.head();
  if (!is_final(head.phase)) {
    active.is_over = false;
    return wake(active);
  }
  if (std::exchange(active.is_over, true) && active.engine.has_lingering_canaries()) return;
  // Not inside of what its engine was called from.
  scheduler_.call_soon([this, alive = std::weak_ptr<char>(alive_), id = head.id] {
    if (!alive.expired()) end_of(id);
  });
}

void Rollouts::end_of(const std::string& rollout) {
  const auto found = active_.find(rollout);
  if (found == active_.end()) return;
  if (!is_final(found->second->engine.head().phase)) {  // it is being undone after all
    found->second->is_over = false;
    return wake(*found->second);
  }
  books_.rollouts[rollout] = {found->second->engine.head(), found->second->engine.records()};
  if (!found->second->engine.has_lingering_canaries()) active_.erase(found);
  for (const auto& id : ids_of("")) {
    const auto waiting = active_.find(id);
    if (waiting == active_.end()) continue;
    const rollout::Rollout& head = waiting->second->engine.head();
    if (head.behind == rollout && head.phase == rollout::Phase::waiting) start(*waiting->second);
  }
}

void Rollouts::wake(Active& active) {
  const auto at = active.engine.next_wakeup();
  if (!at || (active.woken_at && *active.woken_at <= *at)) return;
  active.woken_at = at;
  scheduler_.call_at(
      *at, [this, alive = std::weak_ptr<char>(alive_), at = *at, id = active.engine.head().id] {
        if (alive.expired()) return;
        const auto found = active_.find(id);
        if (found == active_.end() || found->second->woken_at != at) return;
        found->second->woken_at.reset();
        give(*found->second, rollout::TimePassed{});
      });
}

// ---- What is known

std::vector<rollout::HostFacts> Rollouts::facts_for(const rollout::Rollout& head) const {
  std::vector<rollout::HostFacts> all;
  for (const auto& [name, host] : books_.hosts) {
    rollout::HostFacts facts = facts_of(host, head);
    const bool concerned = facts.to != fleet::kNoRevision || facts.back != fleet::kNoRevision ||
                           facts.stable.revision != fleet::kNoRevision;
    if (concerned && !host.revoked) all.push_back(std::move(facts));
  }
  return all;
}

rollout::HostFacts Rollouts::facts_of(const HostRecord& host, const rollout::Rollout& head) const {
  rollout::HostFacts facts{.host = host.name,
                           .site = host.site,
                           .silent = observer_.is_silent(host.name),
                           .drained = host.drained};
  for (const auto& label : host.labels) {
    const auto equals = label.find('=');
    if (equals != std::string::npos) {
      facts.labels[label.substr(0, equals)] = label.substr(equals + 1);
    }
  }
  const auto belongs = [&](fleet::Revision revision) {
    const Spec* spec = books_.spec(head.component, revision);
    return spec != nullptr && selects(spec->spec.hosts, host) ? revision : fleet::kNoRevision;
  };
  facts.to = belongs(head.target);
  facts.back = belongs(head.base);
  const auto stable = books_.assignments.find({host.name, head.component, Slot::stable});
  if (stable != books_.assignments.end()) facts.stable = stable->second;
  const auto canary = books_.assignments.find({host.name, head.component, Slot::canary});
  if (canary != books_.assignments.end()) facts.canary = canary->second;
  return facts;
}

std::vector<rollout::Rollout> Rollouts::under_way(const std::string& component) const {
  std::vector<rollout::Rollout> heads;
  for (const auto& [id, active] : active_) {
    const rollout::Rollout& head = active->engine.head();
    if (head.component == component && !is_final(head.phase)) heads.push_back(head);
  }
  std::ranges::sort(heads, {}, [](const rollout::Rollout& head) { return head.target; });
  return heads;
}

// The newest one before it that is not over; empty: none.
std::string Rollouts::older_than(const rollout::Rollout& head) const {
  std::string id;
  for (const auto& other : under_way(head.component)) {
    if (other.target < head.target) id = other.id;
  }
  return id;
}

// Of all components, if it is empty.
std::set<std::string> Rollouts::ids_of(const std::string& component) const {
  std::set<std::string> ids;
  for (const auto& [id, active] : active_) {
    if (component.empty() || active->engine.head().component == component) ids.insert(id);
  }
  return ids;
}

std::vector<Rollouts::WantedGate> Rollouts::wanted_gates() const {
  std::vector<WantedGate> wanted;
  for (const auto& [id, active] : active_) {
    for (auto& gate : active->engine.gates_wanted()) {
      wanted.push_back({id, active->engine.head().component, std::move(gate)});
    }
  }
  return wanted;
}

const rollout::Engine* Rollouts::engine(const std::string& rollout) const {
  const auto found = active_.find(rollout);
  return found == active_.end() ? nullptr : &found->second->engine;
}

void Rollouts::add_signers(rollout::Progress& progress, const rollout::Rollout& head) const {
  const Spec* target = books_.spec(head.component, head.target);
  if (target != nullptr) progress.signed_by = signers_in(target->signatures);
}

std::optional<rollout::Progress> Rollouts::progress(const std::string& rollout,
                                                    std::size_t instances) const {
  std::optional<rollout::Progress> progress;
  if (const rollout::Engine* running = engine(rollout)) {
    progress = running->progress(now(), instances);
    progress->shares = proxies_.progress(progress->component, observer_.observed);
    add_signers(*progress, running->head());
    return progress;
  }
  if (const auto over = look_back(rollout)) {
    progress = over->progress(now(), instances);
    add_signers(*progress, over->head());
  }
  return progress;
}

std::optional<std::vector<rollout::InstanceProgress>> Rollouts::instances(
    const std::string& rollout, std::uint32_t step, std::size_t first, std::size_t count) const {
  if (const rollout::Engine* running = engine(rollout)) {
    return running->instances(step, first, count);
  }
  const auto over = look_back(rollout);
  if (!over) return std::nullopt;
  return over->instances(step, first, count);
}

// One that is over, with what is seen of its instances now.
std::optional<rollout::Engine> Rollouts::look_back(const std::string& rollout) const {
  const auto stored = books_.rollouts.find(rollout);
  if (stored == books_.rollouts.end()) return std::nullopt;
  rollout::Engine over(stored->second.head, stored->second.records);
  (void)over.resume(facts_for(stored->second.head), now());
  // What it would do about them is nobody's concern any more.
  for (const auto& one : observations(over)) (void)over.handle(one, now());
  return over;
}

}  // namespace segue::server
