// SPDX-License-Identifier: Apache-2.0
#include "simulation/server.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "simulation/world_state.h"

namespace segue::simulation {

using fleet::kNoRevision;
using rollout::Engine;
using rollout::Phase;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr Duration kLease = seconds(35);
constexpr std::size_t kMaxInbox = 1'000'000;

}  // namespace

rollout::Now Server::now() const {
  return {world_.real_now(), base::MonotonicTime(world_.loop().now() - started_)};
}

// ---- The process

void Server::begin() {
  alive_ = true;
  ++life_;
  started_ = world_.loop().now();
  world_.loop().trace("server", "", life_);
  for (const auto& host : world_.hosts()) heard_[host->name()] = world_.loop().now();
  silent_.clear();
  load();
  tick();
}

void Server::kill() {
  if (!alive_) return;
  world_.loop().trace("kill server", "");
  ++world_.result_.crashes;
  alive_ = false;
  ++life_;
  engine_.reset();
  inbox_.clear();
  // The one that was on its way may have got there.
  if (storing_ && !writes_.empty() && world_.loop().chance(500)) apply(writes_.front());
  writes_.clear();
  to_send_.clear();
  storing_ = false;
  world_.loop().after(world_.loop().between(milliseconds(200), seconds(30)), [this, life = life_] {
    if (life == life_) begin();
  });
}

void Server::load() {
  engine_.reset();
  writes_.clear();
  storing_ = false;
  activate();
}

// The oldest rollout that is not final; the documents are what the store holds.
void Server::activate() {
  active_ = 0;
  engine_.reset();
  for (auto& [number, stored] : store_.rollouts) {
    if (rollout::is_final(stored.head.phase)) continue;
    auto head = rollout::read_rollout(rollout::write_rollout(stored.head));
    std::vector<rollout::InstanceRecord> records;
    for (const auto& [key, record] : stored.records) {
      if (!world_.settings().checks) {
        records.push_back(record);
        continue;
      }
      auto read = rollout::read_record(rollout::write_record(record));
      if (!read || *read != record) return world_.fail("a record does not read as written");
      records.push_back(*std::move(read));
    }
    if (!head || *head != stored.head) return world_.fail("a head does not read as written");
    active_ = number;
    engine_.emplace(*std::move(head), std::move(records));
    const fleet::Revision target = stored.head.target;
    if (stored.head.phase == Phase::waiting || stored.head.phase == Phase::preparing) {
      auto changes = engine_->begin(store_.good, facts(target), now());
      if (!changes) return world_.fail(changes.error().to_string());
      take(number, *std::move(changes));
    } else {
      take(number, engine_->resume(facts(target), now()));
    }
    return;
  }
}

std::vector<rollout::HostFacts> Server::facts(fleet::Revision target) {
  std::vector<rollout::HostFacts> facts;
  facts.reserve(world_.hosts().size());
  for (const auto& host : world_.hosts()) {
    rollout::HostFacts one{.host = host->name(),
                           .silent = silent_.contains(host->name()),
                           .drained = store_.drained.contains(host->name()),
                           .to = target,
                           .back = store_.good};
    const auto& instances = store_.desired[host->name()].instances;
    const auto stable = instances.find({"chat", fleet::Slot::stable});
    if (stable != instances.end()) one.stable = stable->second;
    const auto canary = instances.find({"chat", fleet::Slot::canary});
    if (canary != instances.end()) one.canary = canary->second;
    facts.push_back(std::move(one));
  }
  return facts;
}

void Server::adopt(fleet::Revision runs) {
  store_.good = runs;
  for (const auto& host : world_.hosts()) {
    store_.desired[host->name()].generation = 1;
    store_.desired[host->name()].instances[{"chat", fleet::Slot::stable}] = {.revision = runs,
                                                                             .order = "r0.0.1"};
  }
}

bool Server::everything_is_final() const {
  return std::all_of(store_.rollouts.begin(), store_.rollouts.end(),
                     [](const auto& one) { return rollout::is_final(one.second.head.phase); });
}

// ---- What comes in

void Server::receive(const AgentSays& says) {
  if (!alive_) return;
  heard_[says.host] = world_.loop().now();
  if (silent_.erase(says.host) > 0) inbox_.emplace_back(rollout::HostSilent{says.host, false});
  for (const auto& [slot, observation] : says.observations) {
    inbox_.emplace_back(rollout::Observed{says.host, slot, observation});
  }
  if (inbox_.size() > kMaxInbox) world_.fail("the server's inbox grows without end");
  const auto& desired = store_.desired[says.host];
  if (desired.generation != says.generation || desired.epoch != says.epoch) send(says.host);
  pump();
}

void Server::ask(rollout::Event event) {
  if (!alive_ || !engine_) return;
  inbox_.push_back(std::move(event));
  pump();
}

void Server::drain(const std::string& host, bool drained) {
  if (!alive_) return;
  if (drained) {
    store_.drained.insert(host);
  } else {
    store_.drained.erase(host);
  }
  ask(rollout::HostDrained{host, drained});
}

void Server::change(fleet::Revision target, const fleet::Strategy& strategy) {
  if (!alive_ || storing_) return;
  std::vector<rollout::Rollout> under_way;
  for (const auto& [number, stored] : store_.rollouts) {
    if (!rollout::is_final(stored.head.phase)) under_way.push_back(stored.head);
  }
  const auto admission = rollout::admit(strategy.meanwhile, under_way);
  if (!admission) return;
  const std::uint64_t number = store_.rollouts.size() + 1;
  auto proposed = Engine::propose({.id = fmt::format("r{}", number),
                                   .component = "chat",
                                   .author = "ada",
                                   .title = "",
                                   .target = target,
                                   .checks_health = true,
                                   .strategy = strategy,
                                   .behind = admission->behind},
                                  now());
  if (!proposed) return world_.fail(proposed.error().to_string());
  world_.loop().trace("change", admission->text, target);
  // Small enough to be one transaction; it is there or it is not.
  for (auto& batch : proposed->announce().batches) apply({number, std::move(batch)});
  if (!engine_) {
    activate();
  } else if (admission->kind == rollout::Admission::Kind::supersedes) {
    ask(rollout::Supersede{"ada", fmt::format("r{}", number)});
  }
  pump();
}

void Server::pump() {
  while (alive_ && !storing_ && engine_ && !inbox_.empty()) {
    const rollout::Event event = std::move(inbox_.front());
    inbox_.pop_front();
    ++events_;
    auto changes = engine_->handle(event, now());
    if (changes) take(active_, *std::move(changes));
    if (engine_ && !storing_ && rollout::is_final(engine_->head().phase)) activate();
  }
  if (!engine_) inbox_.clear();
}

void Server::tick() {
  look_for_silence();
  judge();
  if (engine_) {
    const auto wakeup = engine_->next_wakeup();
    if (wakeup && *wakeup <= now().monotonic) inbox_.emplace_back(rollout::TimePassed{});
    // Whoever waits to supersede does so also after a kill in between.
    for (const auto& [number, stored] : store_.rollouts) {
      if (number > active_ && stored.head.phase == Phase::waiting &&
          stored.head.strategy.meanwhile == fleet::MeanwhilePolicy::supersede &&
          engine_->head().phase != Phase::undoing) {
        inbox_.emplace_back(rollout::Supersede{"ada", stored.head.id});
        break;
      }
    }
  }
  pump();
  world_.loop().after(seconds(1), [this, life = life_] {
    if (life == life_) tick();
  });
}

void Server::look_for_silence() {
  const Duration pause = world_.settings().heartbeat / 10;
  if (world_.loop().now() < looked_ + pause) return;
  looked_ = world_.loop().now();
  for (const auto& [host, heard] : heard_) {
    if (world_.loop().now() - heard > std::max(kLease, 3 * world_.settings().heartbeat) &&
        silent_.insert(host).second) {
      world_.loop().trace("silent", host);
      inbox_.emplace_back(rollout::HostSilent{host, true});
    }
  }
}

// Gates answer when they like to.
void Server::judge() {
  if (!engine_) return;
  for (const auto& wanted : engine_->gates_wanted()) {
    const bool bad = world_.is_bad(engine_->head().target);
    const auto verdict = world_.loop().chance(500) ? rollout::Verdict::wait
                         : bad                     ? rollout::Verdict::bad
                                                   : rollout::Verdict::good;
    inbox_.emplace_back(rollout::Judged{wanted.step, wanted.gate, verdict, "as drawn"});
  }
}

// ---- The store

void Server::take(std::uint64_t rollout, rollout::Changes changes) {
  for (auto& batch : changes.batches) writes_.push_back({rollout, std::move(batch)});
  if (!storing_) store_next();
}

void Server::store_next() {
  if (writes_.empty()) {
    storing_ = false;
    for (const auto& host : std::exchange(to_send_, {})) send(host);
    return;
  }
  storing_ = true;
  const bool slow = world_.faulty() && world_.loop().chance(10);
  const Duration took = world_.loop().between(
      milliseconds(1), slow ? Duration(seconds(8)) : Duration(milliseconds(10)));
  world_.loop().after(took, [this, life = life_] {
    if (life != life_) return;
    const bool conflict = world_.faulty() && world_.loop().chance(10);
    const bool unknown = world_.faulty() && world_.loop().chance(10);
    const bool applied = !conflict && (!unknown || world_.loop().chance(500));
    if (applied) apply(writes_.front());
    if (conflict || unknown) {
      world_.loop().trace("store", unknown ? "unknown" : "conflict");
      to_send_.clear();
      load();
    } else {
      writes_.pop_front();
      store_next();
      if (!storing_ && engine_ && rollout::is_final(engine_->head().phase)) activate();
    }
    pump();
  });
}

// One transaction: all of it, or nothing.
void Server::apply(const Write& write) {
  StoredRollout& stored = store_.rollouts[write.rollout];
  world_.loop().trace("stored", "", write.batch.instances.size());
  if (write.batch.head) {
    stored.head = *write.batch.head;
    world_.loop().trace(to_string(stored.head.phase), to_string(stored.head.step_phase),
                        stored.head.step);
    if (stored.head.phase == Phase::done) store_.good = stored.head.target;
  }
  for (const auto& [record, assigns] : write.batch.instances) {
    stored.records[{record.host, record.slot}] = record;
    if (!assigns) continue;
    auto& desired = store_.desired[record.host];
    ++desired.generation;
    desired.instances[{"chat", record.slot}] = record.assignment;
    to_send_.insert(record.host);
    if (!world_.settings().checks) continue;
    world_.check_revision(record.host, record.slot, record.assignment.revision);
  }
}

void Server::send(const std::string& host) {
  world_.to_host(host, store_.desired[host]);
}

}  // namespace segue::simulation
