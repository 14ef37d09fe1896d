// SPDX-License-Identifier: Apache-2.0
// What hosts, gates and the clock tell.
#include <algorithm>
#include <set>
#include <unordered_set>
#include <utility>

#include "rollout/engine.h"

namespace segue::rollout {

using base::Result;
using fleet::kNoRevision;
using fleet::OrderResult;

namespace {

constexpr const char* kEngine = "engine";

std::string shortened(const std::string& text) {
  return text.substr(0, Rollout::kMaxTextBytes);
}

}  // namespace

void Engine::mark_facts(const std::vector<HostFacts>& hosts) {
  std::unordered_set<std::string> known;
  for (const auto& facts : hosts) {
    known.insert(facts.host);
    (void)on(HostJoined{facts});
  }
  for (Index i = 0; i < records_.size(); ++i) {
    if (records_[i].left || known.contains(records_[i].host)) continue;
    records_[i].left = true;
    touch(i, false);
    review(i);
  }
}

Result<void> Engine::on(const Observed& event) {
  const auto index = find(event.host, event.slot);
  if (!index) return {};
  InstanceRecord& record = records_[*index];
  Live& live = live_[*index];
  const fleet::Observation& seen = event.observation;
  live.heard = true;
  live.health = seen.health;
  live.revision = seen.revision;
  if (live.connections != seen.connections) live.end_refused = false;
  live.connections = seen.connections;
  live.activity = seen.activity;
  live.may_be_sent_to = event.may_be_sent_to;
  if (record.orders > 0 && seen.order == record.assignment.order) {
    live.result = seen.result;
    live.handoff = seen.handoff;
    live.text = shortened(seen.text);
    outcome(*index, seen.result, live.text);
  }
  if (seen.health == fleet::Health::bad) {
    live.text = shortened("its health is bad: " + seen.health_text);
  } else if (record.settled == Settled::done && seen.revision == kNoRevision &&
             record.assignment.revision != kNoRevision) {
    live.text = "nothing runs there any more";
  }
  review(*index);
  end_if_idle(*index);
  return {};
}

void Engine::outcome(Index index, OrderResult result, const std::string& text) {
  InstanceRecord& record = records_[index];
  const bool is_open = record.settled == Settled::ordered;
  switch (result) {
    case OrderResult::done:
      // Later than its limit is better than never; not being well is another matter.
      if (!is_open && (record.settled != Settled::failed ||
                       (head_.checks_health && live_[index].health != fleet::Health::good))) {
        return;
      }
      record.settled = Settled::done;
      record.text = text;
      touch(index, false);
      return;
    case OrderResult::refused:
      if (is_open) refused(index, text);
      return;
    case OrderResult::undone:
    case OrderResult::failed: {
      if (!is_open) return;
      const std::string why =
          fmt::format("{}: {}", result == OrderResult::undone ? "undone" : "failed", text);
      if (is_back()) {
        refused(index, why);
      } else {
        fail_instance(index, why);
      }
      return;
    }
    case OrderResult::none:
    case OrderResult::under_way:
    case OrderResult::unknown:
      return;
  }
}

void Engine::refused(Index index, const std::string& text) {
  InstanceRecord& record = records_[index];
  if (record.ended && record.assignment.revision == kNoRevision) {
    // Somebody is connected after all: the slot stays what it was.
    record.ended = false;
    live_[index].end_refused = true;
    order(index,
          head_.phase == Phase::undoing || head_.phase == Phase::undone ? record.back : record.to,
          0);
    return;
  }
  ++record.refusals;
  record.text = shortened(text);
  if (record.refusals > head_.strategy.retries) {
    fail_instance(index, fmt::format("refused {} times, at last: {}", record.refusals, text));
    return;
  }
  record.settled = Settled::refused;
  live_[index].retry_due = false;
  touch(index, false);
}

void Engine::fail_instance(Index index, const std::string& text) {
  InstanceRecord& record = records_[index];
  record.settled = Settled::failed;
  record.text = shortened(text);
  touch(index, false);
  notice(Severity::warning, kEngine, record.host,
         fmt::format("{} {} of rollout {}: {}", head_.component, to_string(record.slot), head_.id,
                     record.text));
}

Result<void> Engine::on(const HostSilent& event) {
  const auto found = hosts_.find(event.host);
  if (found == hosts_.end()) return {};
  for (const Index index : found->second) {
    live_[index].silent = event.silent;
    review(index);
  }
  return {};
}

void Engine::set_host_flag(const std::string& host, bool InstanceRecord::* flag, bool value) {
  const auto found = hosts_.find(host);
  if (found == hosts_.end()) return;
  for (const Index index : found->second) {
    if (records_[index].*flag == value) continue;
    records_[index].*flag = value;
    touch(index, false);
    review(index);
  }
}

Result<void> Engine::on(const HostDrained& event) {
  set_host_flag(event.host, &InstanceRecord::drained, event.drained);
  return {};
}

Result<void> Engine::on(const HostLeft& event) {
  set_host_flag(event.host, &InstanceRecord::left, true);
  return {};
}

std::uint32_t Engine::last_wave() const {
  std::uint32_t step = 0;
  for (std::uint32_t i = 0; i < head_.steps.size(); ++i) {
    if (head_.steps[i].kind == StepKind::wave) step = i;
  }
  return step;
}

Changes Engine::take_along(const std::vector<HostFacts>& hosts, Now now) {
  begin_event(now);
  if (head_.steps.empty()) return {};
  for (const auto& facts : hosts) {
    take_along(facts, fleet::Slot::stable, facts.stable);
    if (facts.canary) take_along(facts, fleet::Slot::canary, *facts.canary);
  }
  return take_changes();
}

void Engine::take_along(const HostFacts& facts, fleet::Slot slot,
                        const fleet::Assignment& assignment) {
  if (assignment.revision == kNoRevision) return;
  auto index = find(facts.host, slot);
  if (index && records_[*index].assignment.revision == assignment.revision) return;
  if (index) {
    records_[*index].assignment = assignment;
    records_[*index].settled = Settled::done;
    records_[*index].ended = false;
  } else {
    const auto stable = find(facts.host, fleet::Slot::stable);
    add_instance({.host = facts.host,
                  .slot = slot,
                  .step = stable ? records_[*stable].step : last_wave(),
                  .to = facts.to,
                  .back = facts.back,
                  .assignment = assignment,
                  .drained = facts.drained});
    index = static_cast<Index>(records_.size() - 1);
    live_[*index].silent = facts.silent;
  }
  touch(*index, false);
  review(*index);
}

Result<void> Engine::on(const HostJoined& event) {
  const HostFacts& facts = event.facts;
  if (head_.steps.empty()) return {};
  if (!find(facts.host, fleet::Slot::stable)) {
    if (head_.phase != Phase::running && head_.phase != Phase::watching) return {};
    // It comes last, unless the last wave is over: then at once.
    add_instance({.host = facts.host,
                  .slot = fleet::Slot::stable,
                  .step = last_wave(),
                  .to = facts.to,
                  .back = facts.back,
                  .assignment = facts.stable,
                  .drained = facts.drained});
    const auto index = static_cast<Index>(records_.size() - 1);
    touch(index, false);
    if (needs_order(index)) queue(index);
  }
  set_host_flag(facts.host, &InstanceRecord::left, false);
  set_host_flag(facts.host, &InstanceRecord::drained, facts.drained);
  return on(HostSilent{facts.host, facts.silent});
}

Result<void> Engine::on(const Judged& event) {
  const auto wanted = gates_wanted();
  const bool asked = std::any_of(wanted.begin(), wanted.end(), [&](const GateWanted& one) {
    return one.step == event.step && one.gate == event.gate;
  });
  if (!asked) return {};
  GateState& state = head_.gates[event.gate];
  const GateState now{event.verdict, shortened(event.text)};
  if (state == now) return {};
  const bool changed = state.verdict != now.verdict;
  state = now;
  if (!changed) return {};  // its text alone is not worth a write
  touch_head();
  notice(event.verdict == Verdict::bad ? Severity::alarm : Severity::info, "gate " + event.gate, "",
         fmt::format("rollout {}: {}: {}", head_.id, to_string(event.verdict), now.text));
  return {};
}

Result<void> Engine::on(const PredecessorEnded& event) {
  if (head_.phase != Phase::waiting) return {};
  if (!event.next.empty()) {
    head_.behind = event.next;
    touch_head();
    return {};
  }
  enter(Phase::preparing, 0, StepPhase::approving);
  return {};
}

Result<void> Engine::on(const TimePassed& /*event*/) {
  if (head_.stopped) return {};
  while (!timers_.empty() && timers_.begin()->first <= now_.monotonic) {
    const Index index = timers_.begin()->second;
    set_timer(index, std::nullopt);
    expire(index);
  }
  return {};
}

void Engine::expire(Index index) {
  Live& live = live_[index];
  const auto limit =
      std::chrono::duration_cast<std::chrono::seconds>(head_.strategy.order_limit).count();
  switch (live.standing) {
    case Standing::retrying:
      live.retry_due = true;
      if (needs_order(index)) queue(index);
      return;
    case Standing::ordered:
      if (is_back()) {
        refused(index, fmt::format("no outcome within {} s", limit));
      } else {
        fail_instance(index, fmt::format("no outcome within {} s; last known: {}", limit,
                                         live.text.empty() ? "nothing" : live.text));
      }
      break;
    case Standing::checking:
      if (is_back()) return;
      fail_instance(index, fmt::format("its health was not known to be good within {} s", limit));
      break;
    case Standing::bad:
    case Standing::failed_bad:
      react_to_block(index);
      return;
    default:
      return;
  }
  review(index);
}

}  // namespace segue::rollout
