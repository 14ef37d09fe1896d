// SPDX-License-Identifier: Apache-2.0
#include "simulation/host.h"

#include <utility>

#include "simulation/world_state.h"

namespace segue::simulation {

using fleet::kNoRevision;
using fleet::OrderResult;
using reconcile::ActionKind;
using reconcile::InstanceKey;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

const char* const kComponent = "chat";

InstanceKey key_of(fleet::Slot slot) {
  return {kComponent, slot};
}

}  // namespace

void Host::begin(fleet::Revision runs) {
  slots_[fleet::Slot::stable] = {.runs = runs, .health = fleet::Health::good, .connections = 100};
  slots_[fleet::Slot::canary];
  start_agent();
}

fleet::Revision Host::runs(fleet::Slot slot) const {
  const auto found = slots_.find(slot);
  return found == slots_.end() ? kNoRevision : found->second.runs;
}

bool Host::is_well(fleet::Slot slot) const {
  const auto found = slots_.find(slot);
  return found != slots_.end() && found->second.runs != kNoRevision &&
         found->second.health != fleet::Health::bad;
}

const std::string* Host::moving_to(fleet::Slot slot, fleet::Revision revision) const {
  const auto found = slots_.find(slot);
  if (found == slots_.end() || !found->second.attempt || !found->second.attempt->was_well) {
    return nullptr;
  }
  const auto& intent = found->second.attempt->intent;
  return intent.to == revision || intent.to == intent.from ? &intent.order : nullptr;
}

template <class Work>
void Host::later(Duration least, Duration most, Work work) {
  world_.loop().after(world_.loop().between(least, most), [this, life = life_, work] {
    if (decider_ && life == life_) work();
  });
}

// ---- The agent's process

void Host::start_agent() {
  ++life_;
  pending_.clear();
  keeping_ = false;
  deadline_.reset();
  decider_.emplace(disk_);
  world_.loop().trace("agent", name_, life_);
  take(decider_->resume(base::MonotonicTime(world_.loop().now())));
  for (const auto& [slot, state] : slots_) see(key_of(slot));
  heartbeat();
}

void Host::kill_agent() {
  if (!decider_) return;
  world_.loop().trace("kill agent", name_);
  ++world_.result_.crashes;
  decider_.reset();
  ++life_;
  world_.loop().after(world_.loop().between(milliseconds(100), seconds(20)), [this, life = life_] {
    if (life == life_) start_agent();
  });
}

void Host::reboot() {
  world_.loop().trace("reboot", name_);
  for (auto& [slot, state] : slots_) {
    // What was in the middle is lost, and its keeper had not written an end.
    if (state.attempt) state.history.erase(state.attempt->intent.order);
    state.attempt.reset();
    state.runs = kNoRevision;
    state.health = fleet::Health::unknown;
    state.connections = 0;
  }
  if (decider_) {
    kill_agent();
  }
}

void Host::receive(const reconcile::Desired& desired) {
  if (decider_) give(reconcile::DesiredArrived{desired});
}

void Host::give(const reconcile::Event& event) {
  take(decider_->handle(event, base::MonotonicTime(world_.loop().now())));
}

void Host::take(reconcile::Decision decision) {
  if (decision.keep || !decision.commands.empty()) {
    Pending pending{std::nullopt, std::move(decision.commands)};
    if (decision.keep) pending.keep = decider_->memory();
    pending_.push_back(std::move(pending));
    carry_out_pending();
  }
  set_deadline();
}

// In order, and nothing before what was to be kept is on the disk.
void Host::carry_out_pending() {
  while (!keeping_ && !pending_.empty()) {
    Pending& next = pending_.front();
    if (next.keep) {
      keeping_ = true;
      const bool slow = world_.faulty() && world_.loop().chance(20);
      later(milliseconds(1), slow ? Duration(seconds(10)) : Duration(milliseconds(20)), [this] {
        disk_ = std::move(*pending_.front().keep);
        pending_.front().keep.reset();
        keeping_ = false;
        carry_out_pending();
      });
      return;
    }
    const std::vector<reconcile::Command> commands = std::move(next.commands);
    pending_.pop_front();
    for (const auto& command : commands) {
      std::visit([this](const auto& one) { on(one); }, command);
    }
  }
}

void Host::set_deadline() {
  const auto deadline = decider_->next_deadline();
  if (!deadline || deadline == deadline_) return;
  deadline_ = deadline;
  const Duration delay = deadline->time_since_epoch() - world_.loop().now();
  later(delay, delay, [this] {
    deadline_.reset();
    give(reconcile::TimePassed{});
  });
}

void Host::heartbeat() {
  say();
  const Duration beat = world_.settings().heartbeat;
  later(beat, beat + beat / 4, [this] { heartbeat(); });
}

void Host::say() {
  AgentSays says{
      name_, decider_->memory().desired.epoch, decider_->memory().desired.generation, {}};
  for (const auto& [slot, state] : slots_) {
    const auto observation = decider_->observation(key_of(slot));
    if (slot == fleet::Slot::stable || observation.revision != kNoRevision ||
        !observation.order.empty()) {
      says.observations[slot] = observation;
    }
  }
  world_.to_server(std::move(says));
}

void Host::see(const InstanceKey& key) {
  Slot& state = slots_[key.slot];
  give(reconcile::Seen{
      .key = key,
      .revision = state.runs,
      .staged = state.staged,
      .activity = state.attempt ? fleet::Activity::handing_off : fleet::Activity::idle,
      .health = state.health,
      .connections = state.connections});
}

// ---- Drivers

void Host::on(const reconcile::Stage& command) {
  later(milliseconds(50), seconds(3), [this, command] {
    if (world_.faulty() && world_.loop().chance(50)) {
      give(reconcile::StageEnded{command.key, command.revision, false, "no line"});
      return;
    }
    slots_[command.key.slot].staged.insert(command.revision);
    give(reconcile::StageEnded{command.key, command.revision, true, ""});
  });
}

void Host::on(const reconcile::Act& command) {
  Slot& state = slots_[command.key.slot];
  const auto& intent = command.intent;
  world_.loop().trace(intent.order, name_, intent.to);
  if (!state.history.try_emplace(intent.order, OrderResult::under_way).second) {
    world_.fail(fmt::format("{}: order {} was carried out twice", name_, intent.order));
  }
  if (state.attempt) {
    // The keeper does one at a time.
    state.history[intent.order] = OrderResult::refused;
    later(milliseconds(1), milliseconds(5), [this, command] {
      give(reconcile::ActionEnded{command.key, command.intent.order, OrderResult::refused, "busy",
                                  std::nullopt});
    });
    return;
  }
  if (intent.only_idle && state.connections != 0) {
    state.history[intent.order] = OrderResult::refused;
    later(milliseconds(1), milliseconds(5), [this, command] {
      give(reconcile::ActionEnded{command.key, command.intent.order, OrderResult::refused,
                                  "connections are open", std::nullopt});
    });
    return;
  }
  if (intent.kind == ActionKind::stop && state.connections != 0 &&
      runs(fleet::Slot::stable) != kNoRevision) {
    world_.fail(fmt::format("{}: a canary with connections is stopped", name_));
  }
  world_.check_move(*this, command.key.slot, intent);
  ++world_.result_.moves;
  if (intent.from == intent.to) ++world_.result_.renewals;
  state.attempt = {intent, ++attempts_, is_well(command.key.slot)};
  const bool slow = world_.faulty() && world_.loop().chance(20);
  // Of the keeper: it goes on when the agent is killed.
  world_.loop().after(
      world_.loop().between(milliseconds(100), slow ? Duration(seconds(40)) : Duration(seconds(3))),
      [this, key = command.key, number = attempts_] { end_attempt(key, number); });
}

void Host::end_attempt(const InstanceKey& key, std::uint64_t number) {
  Slot& state = slots_[key.slot];
  if (!state.attempt || state.attempt->number != number) return;
  const auto intent = state.attempt->intent;
  OrderResult result = OrderResult::done;
  if (world_.faulty() && world_.loop().chance(world_.failing_per_mille())) {
    const auto dice = world_.loop().below(4);
    result = dice == 0   ? OrderResult::failed
             : dice == 1 ? OrderResult::undone
                         : OrderResult::refused;
  }
  state.attempt.reset();
  state.history[intent.order] = result;
  if (result == OrderResult::done) {
    state.runs = intent.to;
    state.health = fleet::Health::unknown;
    if (intent.to == kNoRevision) state.connections = 0;
  } else if (result == OrderResult::failed && world_.loop().chance(300)) {
    state.runs = kNoRevision;
  }
  world_.check_revision(name_, key.slot, state.runs);
  world_.loop().trace(to_string(result), name_, state.runs);
  if (!decider_) return;
  const bool seen = !(world_.faulty() && world_.loop().chance(30));
  give(reconcile::ActionEnded{key, intent.order, seen ? result : OrderResult::unknown, "as drawn",
                              std::nullopt});
  if (decider_) see(key);
}

void Host::on(const reconcile::Restore& command) {
  later(milliseconds(100), seconds(2), [this, command] {
    Slot& state = slots_[command.key.slot];
    if (state.runs == kNoRevision && !state.attempt) {
      state.runs = command.revision;
      state.health = fleet::Health::unknown;
      world_.check_revision(name_, command.key.slot, state.runs);
      on(reconcile::CheckHealth{command.key, command.revision});
    }
    see(command.key);
  });
}

void Host::on(const reconcile::LookUp& command) {
  later(milliseconds(10), milliseconds(200), [this, command] {
    const Slot& state = slots_[command.key.slot];
    reconcile::LookedUp answer{command.key, command.intent.order, OrderResult::none,
                               "history",   std::nullopt,         state.runs};
    const auto found = state.history.find(command.intent.order);
    if (found != state.history.end()) answer.result = found->second;
    if (world_.faulty() && world_.loop().chance(100)) answer.result = OrderResult::unknown;
    give(answer);
  });
}

void Host::on(const reconcile::SetShare& command) {
  later(milliseconds(1), milliseconds(50), [this, command] {
    const bool good = !(world_.faulty() && world_.loop().chance(50));
    if (good) {
      Slot& state = slots_[command.key.slot];
      state.share_ppm = command.share_ppm;
      if (command.share_ppm > 0) state.connections = 3;
    }
    give(reconcile::ShareEnded{command.key, command.share_ppm, good, "as drawn"});
    // Those who are connected leave after a while.
    later(seconds(5), seconds(200), [this, key = command.key] {
      Slot& state = slots_[key.slot];
      if (state.share_ppm == 0) state.connections = 0;
      see(key);
    });
  });
}

// Of a proxy nothing is simulated: what it is to do travels with the assignments.
void Host::on(const reconcile::KeepShare& /*command*/) {}

void Host::on(const reconcile::CheckHealth& command) {
  later(milliseconds(200), seconds(2), [this, command] {
    Slot& state = slots_[command.key.slot];
    if (state.runs != command.revision) return;
    state.health = world_.is_bad(state.runs) ? fleet::Health::bad : fleet::Health::good;
    see(command.key);
  });
}

void Host::on(const reconcile::Report& /*command*/) {
  say();
}

void Host::on(const reconcile::RefuseDesired& command) {
  world_.loop().trace("refused", name_, command.generation);
}

}  // namespace segue::simulation
