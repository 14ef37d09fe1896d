// SPDX-License-Identifier: Apache-2.0
#include "reconcile/decider.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "fleet/words.h"

namespace segue::reconcile {

using fleet::Activity;
using fleet::Health;
using fleet::kNoRevision;
using fleet::OrderResult;
using fleet::Slot;

namespace {

constexpr std::size_t kMaxTextBytes = 500;
constexpr std::uint32_t kMaxStageTries = 3;  // of one order, then it is refused
constexpr std::uint32_t kMaxShareTries = 3;  // likewise; it is tried on nevertheless
constexpr std::uint32_t kShareUnknown = fleet::kWholeShare + 1;  // until it is set

constexpr fleet::Words<ActionKind, 5> kActions = {{{ActionKind::start, "start"},
                                                   {ActionKind::hand_off, "hand-off"},
                                                   {ActionKind::hand_back, "hand-back"},
                                                   {ActionKind::stop, "stop"},
                                                   {ActionKind::share, "share"}}};

bool is_settled(OrderResult result) {
  return result == OrderResult::done || result == OrderResult::refused ||
         result == OrderResult::undone || result == OrderResult::failed;
}

Activity activity_of(const Intent& intent) {
  switch (intent.kind) {
    case ActionKind::start:
      return Activity::starting;
    case ActionKind::stop:
      return Activity::stopping;
    case ActionKind::hand_off:
    case ActionKind::hand_back:
      return Activity::handing_off;
    case ActionKind::share:
      break;
  }
  return Activity::idle;
}

// What changes all the time travels with the next report that says something.
bool says_the_same(const fleet::Observation& a, const fleet::Observation& b) {
  fleet::Observation same = a;
  same.connections = b.connections;
  same.accepted = b.accepted;
  same.health_since_ms = b.health_since_ms;
  return same == b && (a.connections == 0) == (b.connections == 0);
}

}  // namespace

std::string_view to_string(ActionKind kind) {
  return fleet::word_of(kActions, kind);
}

std::string to_string(const InstanceKey& key) {
  return fmt::format("{}/{}", key.component, fleet::to_string(key.slot));
}

const OrderOutcome* InstanceMemory::find(const std::string& order) const {
  for (const auto& outcome : outcomes) {
    if (outcome.order == order) return &outcome;
  }
  return nullptr;
}

Decision Decider::resume(base::MonotonicTime now) {
  now_ = now;
  decision_ = {};
  for (const auto& [key, instance] : memory_.instances) {
    if (!instance.intent) continue;
    live_[key].from_disk = true;
    look_at_intent(key);
  }
  review_all();
  return std::exchange(decision_, {});
}

Decision Decider::handle(const Event& event, base::MonotonicTime now) {
  now_ = now;
  decision_ = {};
  std::visit([this](const auto& one) { on(one); }, event);
  return std::exchange(decision_, {});
}

std::optional<base::MonotonicTime> Decider::next_deadline() const {
  std::optional<base::MonotonicTime> deadline;
  for (const auto& [key, live] : live_) {
    for (const Retry* retry :
         {&live.stage_retry, &live.look_retry, &live.share_retry, &live.restore_retry}) {
      if (retry->at && *retry->at > now_ && (!deadline || *retry->at < *deadline)) {
        deadline = retry->at;
      }
    }
  }
  return deadline;
}

std::set<InstanceKey> Decider::instances() const {
  std::set<InstanceKey> keys;
  for (const auto& [key, assignment] : memory_.desired.instances) keys.insert(key);
  for (const auto& [key, instance] : memory_.instances) keys.insert(key);
  return keys;
}

const InstanceMemory& Decider::remembered(const InstanceKey& key) const {
  static const InstanceMemory kNothing;
  const auto found = memory_.instances.find(key);
  return found == memory_.instances.end() ? kNothing : found->second;
}

bool Decider::may_act() const {
  return !memory_.desired.observe_only && !memory_.desired.emergency_stop;
}

bool Decider::is_due(const Retry& retry) const {
  return !retry.at || *retry.at <= now_;
}

void Decider::later(Retry& retry) const {
  base::Duration pause = kFirstRetry;
  for (std::uint32_t i = 0; i < retry.failures && pause < kMaxRetry; ++i) pause *= 2;
  ++retry.failures;
  retry.at = now_ + std::min<base::Duration>(pause, kMaxRetry);
}

// ---- Events

void Decider::on(const DesiredArrived& event) {
  const Desired& desired = event.desired;
  const Desired& known = memory_.desired;
  const auto age = std::pair(desired.epoch, desired.generation);
  const auto known_age = std::pair(known.epoch, known.generation);
  if (desired == known) return;
  if (!known.fleet.empty() && desired.fleet != known.fleet) {
    command(RefuseDesired{
        desired.epoch, desired.generation,
        fmt::format("it is of fleet {}, and this host belongs to {}", desired.fleet, known.fleet)});
    return;
  }
  if (age <= known_age) {
    command(RefuseDesired{
        desired.epoch, desired.generation,
        age == known_age
            ? fmt::format("generation {} was another one before: two servers, or a copy of this "
                          "host's identity, or a restored store without a new epoch",
                          desired.generation)
            : fmt::format("epoch {} generation {} is older than {} and {}, which this host has: a "
                          "restored store needs a new epoch",
                          desired.epoch, desired.generation, known.epoch, known.generation)});
    return;
  }
  memory_.desired = desired;
  // What nobody wants and nothing remembers is forgotten.
  std::erase_if(memory_.instances, [&](const auto& one) {
    return !desired.instances.contains(one.first) && !one.second.intent &&
           one.second.serves == kNoRevision;
  });
  keep();
  review_all();
}

void Decider::on(const Seen& event) {
  Live& live = live_[event.key];
  live.seen = event;
  live.restoring = false;
  if (live.checked != event.revision) {
    live.checked = event.revision;
    if (event.revision != kNoRevision) command(CheckHealth{event.key, event.revision});
  }
  if (event.revision != kNoRevision) {
    live.restore_retry = {};
    if (!remembered(event.key).intent && remembered(event.key).serves != event.revision) {
      InstanceMemory& memory = memory_.instances[event.key];
      memory.previous = memory.serves;
      memory.serves = event.revision;
      keep();
    }
  }
  review(event.key);
}

void Decider::on(const StageEnded& event) {
  Live& live = live_[event.key];
  if (live.staging == event.revision) live.staging = kNoRevision;
  if (event.good) {
    live.stage_retry = {};
    live.trouble.clear();
    if (live.seen) live.seen->staged.insert(event.revision);
  } else {
    live.trouble = fmt::format("revision {} could not be staged: {}", event.revision, event.text)
                       .substr(0, kMaxTextBytes);
    later(live.stage_retry);
  }
  review(event.key);
}

void Decider::on(const ActionEnded& event) {
  Live& live = live_[event.key];
  const InstanceMemory& memory = remembered(event.key);
  if (!memory.intent || memory.intent->order != event.order) return;
  live.acting = false;
  if (!is_settled(event.result)) {
    live.from_disk = true;
    look_at_intent(event.key);
  } else {
    const Intent intent = *memory.intent;
    fleet::Revision serves = event.result == OrderResult::done ? intent.to : intent.from;
    if (event.result == OrderResult::failed) serves = memory.serves;
    settle(event.key, {event.order, event.result, event.text, event.handoff}, serves);
  }
  review(event.key);
}

void Decider::on(const LookedUp& event) {
  Live& live = live_[event.key];
  const InstanceMemory& memory = remembered(event.key);
  if (!memory.intent || memory.intent->order != event.order) return;
  live.acting = false;
  const Intent intent = *memory.intent;
  switch (event.result) {
    case OrderResult::unknown:
      live.trouble =
          fmt::format("how it went is not known: {}", event.text).substr(0, kMaxTextBytes);
      later(live.look_retry);
      break;
    case OrderResult::under_way:
      later(live.look_retry);
      break;
    case OrderResult::none:
      // Of one that hands over to itself it tells nothing what serves.
      if (event.revision == intent.to && intent.from != intent.to) {
        settle(event.key, {event.order, OrderResult::done, "it was seen to serve", std::nullopt},
               event.revision);
      } else if (event.revision == intent.from) {
        settle(event.key,
               {event.order, OrderResult::refused, "the agent ended before it was begun",
                std::nullopt},
               event.revision);
      } else {
        settle(
            event.key,
            {event.order, OrderResult::failed,
             fmt::format("the agent ended in the middle, and revision {} serves", event.revision),
             std::nullopt},
            event.revision == kNoRevision ? intent.from : event.revision);
      }
      break;
    case OrderResult::done:
    case OrderResult::refused:
    case OrderResult::undone:
    case OrderResult::failed:
      settle(event.key, {event.order, event.result, event.text, event.handoff},
             event.result == OrderResult::done                                      ? intent.to
             : event.result == OrderResult::failed && event.revision != kNoRevision ? event.revision
                                                                                    : intent.from);
      break;
  }
  review(event.key);
}

void Decider::on(const ShareEnded& event) {
  Live& live = live_[event.key];
  live.setting_share = false;
  if (event.good) {
    live.share_retry = {};
    memory_.instances[event.key].share_ppm = event.share_ppm;
    keep();
  } else {
    live.trouble =
        fmt::format("the share could not be set: {}", event.text).substr(0, kMaxTextBytes);
    later(live.share_retry);
  }
  review(event.key);
}

void Decider::on(const ShareKept& event) {
  if (!keeps_.contains(event.component)) return;  // no more
  const auto [known, is_new] = shares_.try_emplace(event.component);
  if (!is_new && known->second == event.seen) return;
  known->second = event.seen;
  command(Report{{event.component, Slot::stable}});
}

void Decider::on(const TimePassed& /*event*/) {
  review_all();
}

// ---- What follows

void Decider::review_all() {
  for (const auto& key : instances()) review(key);
  review_shares();
}

// What a proxy does is kept up whatever happens; another share is a change.
void Decider::review_shares() {
  if (memory_.desired.observe_only) return;
  const fleet::ProxyShares& wanted = memory_.desired.shares;
  for (const auto& [component, share] : wanted) {
    const auto kept = keeps_.find(component);
    if (kept != keeps_.end() && (kept->second == share || !may_act())) continue;
    keeps_[component] = share;
    command(KeepShare{component, share});
  }
  if (!may_act()) return;
  std::erase_if(keeps_, [&](const auto& kept) {
    if (wanted.contains(kept.first)) return false;
    shares_.erase(kept.first);
    command(KeepShare{kept.first, {}});
    return true;
  });
}

void Decider::review(const InstanceKey& key) {
  Live& live = live_[key];
  if (remembered(key).intent) {
    if (live.from_disk && !live.acting && is_due(live.look_retry)) look_at_intent(key);
  } else if (live.seen) {
    const auto wanted = memory_.desired.instances.find(key);
    if (wanted != memory_.desired.instances.end() && may_act()) {
      carry_out(key, wanted->second);
    }
    if (!remembered(key).intent) restore(key);
  }
  const fleet::Observation now = observation(key);
  if (live.reported && says_the_same(*live.reported, now)) return;
  live.reported = now;
  command(Report{key});
}

void Decider::look_at_intent(const InstanceKey& key) {
  Live& live = live_[key];
  live.acting = true;
  live.look_retry.at.reset();
  command(LookUp{key, *memory_.instances[key].intent});
}

bool Decider::stage(const InstanceKey& key, fleet::Revision revision) {
  Live& live = live_[key];
  if (revision == kNoRevision || live.seen->revision == revision ||
      live.seen->staged.contains(revision)) {
    return true;
  }
  if (live.staging == kNoRevision && is_due(live.stage_retry)) {
    live.staging = revision;
    command(Stage{key, revision});
  }
  return false;
}

void Decider::carry_out(const InstanceKey& key, const fleet::Assignment& wanted) {
  Live& live = live_[key];
  const InstanceMemory& memory = remembered(key);
  const bool is_open = !wanted.order.empty() && memory.find(wanted.order) == nullptr;
  if (!is_open) {
    (void)stage(key, wanted.stage);
    // Also after a keeper has forgotten it.
    if (live.seen->revision != kNoRevision) set_share(key, wanted);
    return;
  }
  if (live.seen->activity != Activity::idle || live.restoring) return;  // it is waited for
  const fleet::Revision from = live.seen->revision;
  const bool renews = wanted.renew && from != kNoRevision;
  if (from == wanted.revision && !renews) {
    if (std::exchange(live.share_order, wanted.order) != wanted.order) live.share_retry = {};
    set_share(key, wanted);
    const InstanceMemory& after = remembered(key);
    const bool shares = key.slot == Slot::canary && from != kNoRevision;
    if (shares && (after.share_ppm != wanted.share_ppm || after.share_salt != wanted.share_salt)) {
      if (live.share_retry.failures >= kMaxShareTries && !live.setting_share) {
        settle_without_action(key, wanted.order, OrderResult::refused, live.trouble);
      }
      return;
    }
    settle_without_action(key, wanted.order, OrderResult::done,
                          from == kNoRevision ? "nothing runs" : "it serves");
    return;
  }
  if (wanted.revision == kNoRevision) {
    const auto stable = live_.find({key.component, Slot::stable});
    const bool other_serves = stable != live_.end() && stable->second.seen &&
                              stable->second.seen->revision != kNoRevision;
    if (key.slot == Slot::canary && other_serves && live.seen->connections != 0) {
      settle_without_action(key, wanted.order, OrderResult::refused,
                            live.seen->connections
                                ? fmt::format("{} connections are open", *live.seen->connections)
                                : "how many connections are open is not known");
      return;
    }
    begin(key, {wanted.order, ActionKind::stop, from, kNoRevision,
                key.slot == Slot::canary && other_serves});
    return;
  }
  if (!stage(key, wanted.revision)) {
    if (live.stage_retry.failures < kMaxStageTries) return;
    live.stage_retry = {};
    settle_without_action(key, wanted.order, OrderResult::refused, live.trouble);
    return;
  }
  const bool goes_back = wanted.revision == memory.previous && wanted.revision != from;
  const ActionKind kind = from == kNoRevision ? ActionKind::start
                          : goes_back         ? ActionKind::hand_back
                                              : ActionKind::hand_off;
  begin(key, {wanted.order, kind, from, wanted.revision, false,
              wanted.revision == from ? live.seen->generation : 0});
}

void Decider::begin(const InstanceKey& key, Intent intent) {
  InstanceMemory& memory = memory_.instances[key];
  memory.intent = intent;
  keep();
  Live& live = live_[key];
  live.acting = true;
  live.from_disk = false;
  command(Act{key, std::move(intent)});
}

void Decider::settle_without_action(const InstanceKey& key, const std::string& order,
                                    OrderResult result, std::string text) {
  settle(key, {order, result, std::move(text), std::nullopt}, live_[key].seen->revision);
}

void Decider::settle(const InstanceKey& key, OrderOutcome outcome, fleet::Revision serves) {
  InstanceMemory& memory = memory_.instances[key];
  Live& live = live_[key];
  outcome.text.resize(std::min(outcome.text.size(), kMaxTextBytes));
  const OrderResult result = outcome.result;
  const bool is_renewed = memory.intent && memory.intent->from == memory.intent->to &&
                          serves != kNoRevision && result == OrderResult::done;
  memory.outcomes.push_back(std::move(outcome));
  if (memory.outcomes.size() > InstanceMemory::kMaxOutcomes) memory.outcomes.pop_front();
  memory.intent.reset();
  live.from_disk = false;
  live.acting = false;
  live.look_retry = {};
  live.trouble.clear();
  if (memory.serves != serves) {
    memory.previous = memory.serves;
    memory.serves = serves;
    if (serves == kNoRevision) memory.share_ppm = 0;
  }
  keep();
  if (!live.seen || result == OrderResult::failed) return;
  if (live.seen->revision != serves || is_renewed) check_anew(key, serves);
}

// What was seen of another instance says nothing of this one.
void Decider::check_anew(const InstanceKey& key, fleet::Revision serves) {
  Live& live = live_[key];
  live.seen->revision = serves;
  live.seen->health = Health::unknown;
  live.seen->health_text.clear();
  live.checked = serves;
  if (serves != kNoRevision) command(CheckHealth{key, serves});
}

void Decider::set_share(const InstanceKey& key, const fleet::Assignment& wanted) {
  Live& live = live_[key];
  if (key.slot != Slot::canary || live.setting_share || !is_due(live.share_retry)) return;
  if (remembered(key).share_ppm == wanted.share_ppm &&
      remembered(key).share_salt == wanted.share_salt) {
    return;
  }
  InstanceMemory& memory = memory_.instances[key];
  memory.share_salt = wanted.share_salt;
  memory.share_ppm = kShareUnknown;
  keep();
  live.setting_share = true;
  command(SetShare{key, wanted.share_ppm, wanted.share_salt, live.seen->revision});
}

// What served when the host went down serves again when it is back; crashes are the keeper's.
void Decider::restore(const InstanceKey& key) {
  Live& live = live_[key];
  if (memory_.desired.observe_only || remembered(key).serves == kNoRevision ||
      live.seen->revision != kNoRevision || live.seen->activity != Activity::idle ||
      live.restoring || !is_due(live.restore_retry)) {
    return;
  }
  live.restoring = true;
  later(live.restore_retry);
  InstanceMemory& memory = memory_.instances[key];
  // Whichever slot comes back, its socket is another one than the share was set for.
  const auto canary = memory_.instances.find({key.component, Slot::canary});
  if (canary != memory_.instances.end()) {
    canary->second.share_ppm = kShareUnknown;
    keep();
  }
  command(Restore{key, memory.serves});
}

fleet::Observation Decider::observation(const InstanceKey& key) const {
  fleet::Observation observation;
  const auto live = live_.find(key);
  const auto memory = memory_.instances.find(key);
  const auto wanted = memory_.desired.instances.find(key);
  const bool is_wanted = wanted != memory_.desired.instances.end();
  if (memory != memory_.instances.end()) {
    observation.revision = memory->second.serves;
    const auto& outcomes = memory->second.outcomes;
    const OrderOutcome* outcome = is_wanted ? memory->second.find(wanted->second.order) : nullptr;
    if (outcome == nullptr && !outcomes.empty()) outcome = &outcomes.back();
    if (memory->second.intent) {
      observation.order = memory->second.intent->order;
      observation.result = OrderResult::under_way;
      observation.activity = reconcile::activity_of(*memory->second.intent);
    } else if (outcome != nullptr) {
      observation.order = outcome->order;
      observation.result = outcome->result;
      observation.text = outcome->text;
      observation.handoff = outcome->handoff;
    }
  }
  if (live == live_.end() || !live->second.seen) return observation;
  const Seen& seen = *live->second.seen;
  observation.revision = seen.revision;
  if (is_wanted && seen.staged.contains(wanted->second.stage)) {
    observation.staged = wanted->second.stage;
  }
  if (seen.activity != Activity::idle) observation.activity = seen.activity;
  if (observation.activity == Activity::idle && live->second.staging != kNoRevision) {
    observation.activity = Activity::staging;
  }
  if (observation.text.empty()) observation.text = live->second.trouble;
  observation.health = seen.health;
  observation.health_text = seen.health_text;
  observation.health_since_ms = seen.health_since_ms;
  observation.connections = seen.connections.value_or(0);
  observation.accepted = seen.accepted;
  observation.crashes = seen.crashes;
  return observation;
}

}  // namespace segue::reconcile
