// SPDX-License-Identifier: Apache-2.0
#include "simulation/world.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "simulation/world_state.h"

namespace segue::simulation {

using fleet::kNoRevision;
using fleet::StrategyKind;
using rollout::Phase;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr fleet::Revision kFirst = 4;

void log_step(Duration now, std::string_view what, std::string_view where, std::uint64_t number) {
  fmt::print(stderr, "{:10.3f} {} {} {}\n", std::chrono::duration<double>(now).count(), what, where,
             number);
}

fleet::Strategy drawn_strategy(Loop& loop) {
  fleet::Strategy strategy = fleet::careful(static_cast<StrategyKind>(loop.below(4)));
  if (strategy.kind == StrategyKind::canary) {
    strategy.canary.split = static_cast<fleet::Split>(loop.below(3));
  }
  const auto limits = [&](fleet::StepLimits& one) {
    one.bake = seconds(loop.below(15));
    one.max_unavailable = fleet::hosts(static_cast<std::uint32_t>(1 + loop.below(3)));
    one.max_failures = fleet::hosts(static_cast<std::uint32_t>(loop.below(2)));
    one.max_silent = fleet::hosts(static_cast<std::uint32_t>(loop.below(2)));
    if (loop.below(4) == 0) one.gates = {"latency"};
  };
  limits(strategy.limits);
  for (auto& step : strategy.canary.steps) limits(step.limits);
  strategy.undo_window = seconds(20);
  strategy.late_watch = seconds(loop.below(30));
  strategy.on_bad = loop.below(4) == 0 ? fleet::OnBad::pause : fleet::OnBad::undo;
  strategy.meanwhile = static_cast<fleet::MeanwhilePolicy>(loop.below(2));
  strategy.first_retry = seconds(2);
  strategy.order_limit = seconds(120);
  strategy.gate_limit = std::chrono::minutes(5);
  if (strategy.kind == StrategyKind::canary && strategy.canary.split != fleet::Split::hosts) {
    strategy.canary.baseline = static_cast<fleet::Baseline>(loop.below(2));
  }
  return strategy;
}

}  // namespace

Settings settings_of(std::uint64_t seed) {
  Loop loop(seed ^ 0x5e61'0000'0000'0000ULL);
  Settings settings;
  settings.seed = seed;
  settings.hosts = 3 + loop.below(6);
  settings.faults = loop.below(8) != 0;
  settings.operators = loop.below(3) != 0;
  settings.strategy = drawn_strategy(loop);
  return settings;
}

Result run(const Settings& settings, bool log) {
  World world(settings);
  if (log) world.loop().log_ = log_step;
  return world.run();
}

World::World(const Settings& settings) : settings_(settings), loop_(settings.seed), server_(*this) {
  for (std::size_t i = 0; i < settings_.hosts; ++i) {
    hosts_.push_back(std::make_unique<Host>(*this, fmt::format("h{:05}", i)));
    by_name_[hosts_.back()->name()] = hosts_.back().get();
  }
  known_ = {kNoRevision, kFirst};
  failing_per_mille_ = settings_.faults ? 20 * loop_.below(3) : 0;
}

Host* World::find(const std::string& host) {
  const auto found = by_name_.find(host);
  return found == by_name_.end() ? nullptr : found->second;
}

base::RealTime World::real_now() const {
  return base::RealTime(std::chrono::hours(500'000)) + loop_.now() + clock_error_;
}

void World::fail(std::string what) {
  if (!result_.failure.empty()) return;
  result_.failure =
      fmt::format("at {:.3f} s: {}", std::chrono::duration<double>(loop_.now()).count(), what);
}

// ---- The network

template <class Deliver>
void World::deliver(const std::string& host, Deliver deliver) {
  std::uint64_t copies = 1;
  if (faulty()) {
    if (cut_.contains(host) || loop_.chance(50)) {
      ++result_.lost;
      copies = 0;
    } else if (loop_.chance(20)) {
      copies = 2;
    }
  }
  for (std::uint64_t i = 0; i < copies; ++i) {
    const bool slow = faulty() && loop_.chance(50);
    loop_.after(
        loop_.between(milliseconds(1), slow ? Duration(seconds(30)) : Duration(milliseconds(60))),
        deliver);
  }
}

void World::to_server(AgentSays says) {
  const std::string host = says.host;
  auto shared = std::make_shared<AgentSays>(std::move(says));
  deliver(host, [this, shared] { server_.receive(*shared); });
}

void World::to_host(const std::string& host, reconcile::Desired desired) {
  auto shared = std::make_shared<reconcile::Desired>(std::move(desired));
  deliver(host, [to = find(host), shared] { to->receive(*shared); });
}

// ---- Safety

void World::check_revision(const std::string& host, fleet::Slot slot, fleet::Revision revision) {
  if (!settings_.checks) return;
  if (!known_.contains(revision)) {
    fail(fmt::format("{} {}: revision {} is nobody's", host, to_string(slot), revision));
  }
}

void World::check_move(const Host& host, fleet::Slot slot, const reconcile::Intent& intent) {
  if (!settings_.checks) return;
  const std::size_t dot = intent.order.find('.');
  const std::string id = intent.order.substr(0, dot);
  if (id == "r0") return;  // what runs before the first rollout
  for (const auto& [number, stored] : server_.store().rollouts) {
    if (stored.head.id != id) continue;
    const auto record = stored.records.find({host.name(), slot});
    if (record == stored.records.end()) {
      return fail(fmt::format("{}: {} was never stored", host.name(), intent.order));
    }
    const bool renews = intent.from == intent.to;
    if (renews && (slot != fleet::Slot::stable || !record->second.renews ||
                   intent.to != record->second.back || host.runs(slot) != intent.to)) {
      return fail(fmt::format("{} {}: {} renews what is no baseline", host.name(), to_string(slot),
                              intent.order));
    }
    const bool forward = renews || intent.to == record->second.to;
    if (!forward || slot != fleet::Slot::stable || !host.is_well(slot)) return;
    // Those of the same step that are being moved forward or renewed now, this one included.
    const std::uint32_t step = record->second.step;
    std::size_t size = 0;
    std::size_t moving = 1;
    for (const auto& [key, other] : stored.records) {
      if (other.step != step) continue;
      ++size;
      const std::string* order = by_name_[key.first]->moving_to(key.second, other.to);
      if (order != nullptr && order->substr(0, order->find('.')) == id) ++moving;
    }
    const auto& limits = stored.head.steps[step].limits;
    const std::size_t allowed = std::max<std::size_t>(1, limits.max_unavailable.as_limit(size)) +
                                limits.max_silent.as_limit(size) +
                                limits.max_failures.as_limit(size) + stored.head.accepted_failures;
    if (moving > allowed) {
      fail(fmt::format("{} of {} in step {} of {} are moved at once, and {} may", moving, size,
                       step, id, allowed));
    }
    return;
  }
  fail(fmt::format("{}: {} is of no rollout", host.name(), intent.order));
}

// ---- What happens

void World::cause_trouble() {
  if (!faulty()) return;
  Host& host = *hosts_[loop_.below(hosts_.size())];
  switch (loop_.below(9)) {
    case 0:
      server_.kill();
      break;
    case 1:
    case 2:
      host.kill_agent();
      break;
    case 3:
      if (loop_.below(4) == 0) host.reboot();
      break;
    case 4:
      cut_.insert(host.name());
      loop_.after(loop_.between(seconds(1), seconds(120)),
                  [this, name = host.name()] { cut_.erase(name); });
      break;
    case 5:
      if (loop_.below(4) == 0) {
        for (const auto& one : hosts_) cut_.insert(one->name());
        loop_.after(loop_.between(seconds(1), seconds(60)), [this] { cut_.clear(); });
      }
      break;
    case 6:
      clock_error_ += std::chrono::hours(loop_.below(200)) - std::chrono::hours(100);
      break;
    default:
      break;
  }
  loop_.after(loop_.between(milliseconds(100), seconds(20)), [this] { cause_trouble(); });
}

void World::interfere() {
  if (loop_.now() > settings_.faults_end) return;
  switch (loop_.below(12)) {
    case 0:
      server_.ask(rollout::Pause{"bob", ""});
      break;
    case 1:
    case 2:
      server_.ask(rollout::Resume{"bob"});
      break;
    case 3:
      server_.ask(rollout::Promote{"bob", loop_.below(4) == 0});
      break;
    case 4:
      if (loop_.below(6) == 0) server_.ask(rollout::Undo{"bob", "because"});
      break;
    case 5:
      if (loop_.below(3) == 0 && server_.store().rollouts.size() < 4) {
        const fleet::Revision next = ++last_revision_;
        known_.insert(next);
        if (loop_.below(4) == 0) bad_.insert(next);
        server_.change(next, settings_.strategy);
      }
      break;
    case 6:
      server_.ask(rollout::EmergencyStop{"eve", loop_.below(3) == 0});
      break;
    case 7:
      server_.drain(hosts_[loop_.below(hosts_.size())]->name(), loop_.below(2) == 0);
      break;
    default:
      break;
  }
  loop_.after(loop_.between(seconds(1), seconds(15)), [this] { interfere(); });
}

Result World::run() {
  server_.begin();
  for (const auto& host : hosts_) host->begin(kFirst);
  server_.adopt(kFirst);
  const fleet::Revision next = ++last_revision_;
  known_.insert(next);
  if (settings_.checks && loop_.below(4) == 0) bad_.insert(next);
  server_.change(next, settings_.strategy);
  if (settings_.faults) cause_trouble();
  if (settings_.operators) interfere();
  const bool disturbed = settings_.faults || settings_.operators;
  while (result_.failure.empty()) {
    const bool quiet = !disturbed || loop_.now() > settings_.faults_end;
    if (quiet && server_.is_alive() && server_.everything_is_final()) break;
    if (quiet) calm();
    if (!loop_.step(settings_.horizon)) {
      fail("not everything has ended");
      break;
    }
  }
  // What was ordered last is carried out as well.
  const Duration end = loop_.now() + std::chrono::minutes(5);
  while (settings_.checks && result_.failure.empty() && loop_.step(end)) {
  }
  if (result_.failure.empty() && settings_.checks) check_end();
  for (const auto& [number, stored] : server_.store().rollouts) {
    result_.rollouts.push_back(fmt::format("{}: {}", stored.head.id, to_string(stored.head.phase)));
    if (!result_.failure.empty() && server_.engine() != nullptr &&
        server_.engine()->head().id == stored.head.id) {
      result_.failure += "\n" + rollout::write_progress(server_.engine()->progress(
                                    {real_now(), base::MonotonicTime(loop_.now())}));
    }
  }
  result_.trace_hash = loop_.hash();
  result_.steps = loop_.steps();
  result_.engine_events = server_.events_;
  return std::move(result_);
}

// When the faults have stopped people do what is waited for.
void World::calm() {
  cut_.clear();
  if (loop_.now() < calm_at_) return;
  calm_at_ = loop_.now() + seconds(10);
  if (server_.engine() == nullptr) return;
  const rollout::Rollout& head = server_.engine()->head();
  if (head.stopped) server_.ask(rollout::EmergencyStop{"eve", false});
  if (head.paused && ++resumed_ % 8 != 0) {
    server_.ask(rollout::Resume{"bob"});
  } else if (head.paused) {
    server_.ask(rollout::Undo{"bob", "it is paused again and again"});
  }
  for (const auto& host : hosts_) {
    if (server_.store().drained.contains(host->name())) server_.drain(host->name(), false);
  }
}

void World::check_end() {
  if (server_.store().rollouts.empty()) return;
  const auto& [number, last] = *server_.store().rollouts.rbegin();
  if (last.head.phase == Phase::failed || last.head.phase == Phase::superseded) return;
  for (const auto& [key, record] : last.records) {
    Host& host = *by_name_[key.first];
    if (record.settled == rollout::Settled::failed || record.drained) continue;
    // Silent ones that were not waited for get their order at the end, and nobody tries it again.
    if (last.head.phase == Phase::done && record.settled == rollout::Settled::ordered) continue;
    const bool touched = record.orders > 0;
    if (record.assignment.share_ppm != 0) fail(fmt::format("{} has a share left", key.first));
    // An earlier rollout may have left it behind, as many as its strategy allowed.
    if (!touched && record.assignment.revision == record.back) continue;
    const fleet::Revision runs = host.runs(key.second);
    if (runs != record.assignment.revision) {
      fail(fmt::format("{} {} runs {}, and is to run {}", key.first, to_string(key.second), runs,
                       record.assignment.revision));
    }
    const bool goes_back = touched || key.second == fleet::Slot::stable;
    if (last.head.phase == Phase::undone && goes_back && runs != record.back && !record.ended) {
      fail(fmt::format("{} runs {} after the undo", key.first, runs));
    }
    if (last.head.phase == Phase::done && runs != record.to && !record.ended) {
      fail(fmt::format("{} runs {} at the end", key.first, runs));
    }
  }
}

}  // namespace segue::simulation
