// SPDX-License-Identifier: Apache-2.0
// The way forward, step by step, and the way back. Everything here is decided again from the head
// and the records whenever something happened, so that nothing depends on what was seen before.
#include <algorithm>
#include <set>
#include <utility>

#include "base/assert.h"
#include "rollout/engine.h"

namespace segue::rollout {

using fleet::kNoRevision;

namespace {

std::uint64_t milliseconds_of(base::RealTime time) {
  const auto count =
      std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
  return count < 0 ? 0 : static_cast<std::uint64_t>(count);
}

constexpr const char* kEngine = "engine";

}  // namespace

// ---- Phases

void Engine::enter(Phase phase, std::uint32_t step, StepPhase step_phase) {
  if (step != head_.step || phase != head_.phase) {
    head_.approved_by.clear();
    head_.gates.clear();
    head_.promoted = head_.promoted_all;
  }
  head_.phase = phase;
  head_.step = step;
  enter_step_phase(step_phase);
}

void Engine::enter_step_phase(StepPhase step_phase) {
  head_.step_phase = step_phase;
  head_.since_ms = milliseconds_of(now_.real);
  head_.elapsed_ms = 0;
  counted_until_.reset();
  if (counts_time()) counted_until_ = now_.monotonic;
  touch_head();
}

void Engine::finish(Phase phase, std::string text) {
  flush();
  head_.text = std::move(text);
  head_.text.resize(std::min(head_.text.size(), Rollout::kMaxTextBytes));
  head_.ended_ms = milliseconds_of(now_.real);
  clear_queue();
  enter(phase, head_.step, head_.step_phase);
  const Severity severity = phase == Phase::done || phase == Phase::superseded ? Severity::info
                            : phase == Phase::undone                           ? Severity::warning
                                                                               : Severity::alarm;
  notice(severity, kEngine, "",
         fmt::format("rollout {} is {}: {}", head_.id, to_string(phase), head_.text));
}

bool Engine::counts_time() const {
  if (head_.stopped || head_.paused) return false;
  if (head_.phase == Phase::watching) return true;
  return head_.phase == Phase::running &&
         (head_.step_phase == StepPhase::baking || head_.step_phase == StepPhase::judging);
}

base::Duration Engine::time_to_pass() const {
  const fleet::Strategy& strategy = head_.strategy;
  std::chrono::milliseconds all = strategy.gate_limit;
  if (head_.phase == Phase::watching) {
    all =
        gates_are_good() ? strategy.late_watch : std::max(strategy.late_watch, strategy.gate_limit);
  } else if (head_.step_phase == StepPhase::baking) {
    all = head_.promoted ? std::chrono::milliseconds(0) : head_.steps[head_.step].limits.bake;
  }
  const std::chrono::milliseconds passed(head_.elapsed_ms);
  return passed >= all ? base::Duration(0) : base::Duration(all - passed);
}

// ---- Forward

void Engine::advance() {
  // Each round is a step phase further, or the last one.
  const std::size_t bound = 10 * (head_.steps.size() + 2);
  for (std::size_t i = 0; i < bound; ++i) {
    if (!advance_once()) return;
  }
  SEGUE_ASSERT(false && "a rollout that goes through its steps for ever");
}

bool Engine::advance_once() {
  if (head_.stopped) return false;
  switch (head_.phase) {
    case Phase::running:
      react();
      if (is_back()) return true;
      work_queue();
      return !head_.paused && advance_step();
    case Phase::watching:
      react();
      if (is_back()) return true;
      work_queue();
      if (head_.paused) return false;
      if (!head_.promoted && time_to_pass() > base::Duration(0)) return false;
      if (!todo_.empty() || all_[Standing::ordered] + all_[Standing::retrying] > 0) return false;
      order_leftovers();
      finish(Phase::done, all_[Standing::failed] + all_[Standing::failed_bad] == 0
                              ? "every host is on the new revision"
                              : fmt::format("{} instances could not be moved and were left as they "
                                            "are: as many failures as the strategy allows",
                                            all_[Standing::failed] + all_[Standing::failed_bad]));
      return false;
    case Phase::undoing:
      work_queue();
      return advance_undo();
    case Phase::waiting:
    case Phase::preparing:
    case Phase::done:
    case Phase::undone:
    case Phase::failed:
    case Phase::superseded:
      return false;
  }
  return false;
}

void Engine::react() {
  std::string why;
  if (!violated_.empty()) {
    const std::uint32_t step = *violated_.begin();
    why = fmt::format(
        "{} of {} in step {} failed or are not well, and {} may", failures_in(step), size_of(step),
        head_.steps[step].name,
        head_.steps[step].limits.max_failures.as_limit(size_of(step)) + head_.accepted_failures);
    for (const Index index : by_step_[step]) {
      const Standing standing = live_[index].standing;
      if (standing != Standing::bad && standing != Standing::failed &&
          standing != Standing::failed_bad) {
        continue;
      }
      const std::string& text =
          standing == Standing::bad ? live_[index].text : records_[index].text;
      why += fmt::format("; first {}: {}", records_[index].host, text.substr(0, 300));
      break;
    }
  }
  for (const auto& [gate, state] : head_.gates) {
    if (state.verdict == Verdict::bad) why = fmt::format("gate {} says bad: {}", gate, state.text);
  }
  if (why.empty()) return;
  if (head_.strategy.on_bad == fleet::OnBad::undo) {
    begin_undo(kEngine, why);
  } else if (!head_.paused) {
    pause_for(why);
  }
}

// Somebody is not well, as may be, and no other may be unavailable meanwhile: it cannot go on.
void Engine::react_to_block(Index index) {
  const std::uint32_t step = records_[index].step;
  set_timer_for(index);
  const bool forward = head_.phase == Phase::running || head_.phase == Phase::watching;
  if (!forward || head_.paused || !todo_.contains(step)) return;
  const std::string why =
      fmt::format("{} is not well ({}), and no other of step {} may be unavailable meanwhile",
                  records_[index].host, live_[index].text.substr(0, 300), head_.steps[step].name);
  if (head_.strategy.on_bad == fleet::OnBad::undo) {
    begin_undo(kEngine, why);
  } else {
    pause_for(why);
  }
}

void Engine::pause_for(const std::string& why) {
  head_.paused = true;
  head_.paused_text = why.substr(0, Rollout::kMaxTextBytes);
  touch_head();
  notice(Severity::alarm, kEngine, "", fmt::format("rollout {} is paused: {}", head_.id, why));
}

bool Engine::advance_step() {
  const Step& step = head_.steps[head_.step];
  switch (head_.step_phase) {
    case StepPhase::approving: {
      if (approvals_needed() > 0) return false;
      enter_step_phase(StepPhase::moving);
      queue_step(head_.step);
      stage_step(head_.step + 1);
      return true;
    }
    case StepPhase::moving:
      if (!step_has_moved()) return false;
      if (step.kind == StepKind::wave) {
        enter_step_phase(StepPhase::baking);
      } else if (begins_renewals()) {
        begin_renewals();
      } else {
        begin_sharing();
      }
      return true;
    case StepPhase::renewing:
      if (!renewals_are_done()) return false;
      begin_sharing();
      return true;
    case StepPhase::sharing:
      if (!shares_are_set()) return false;
      enter_step_phase(StepPhase::baking);
      return true;
    case StepPhase::baking:
      if (time_to_pass() > base::Duration(0)) return false;
      enter_step_phase(StepPhase::judging);
      return true;
    case StepPhase::judging:
      return finish_step();
    case StepPhase::settling:
      break;
  }
  return false;
}

bool Engine::finish_step() {
  if (!step_has_moved()) {  // somebody came back meanwhile, or is not well again
    return false;
  }
  if (!head_.promoted && !gates_are_good()) {
    if (time_to_pass() == base::Duration(0)) {
      pause_for("its gates did not have enough data in time");
    }
    return false;
  }
  const std::uint32_t next = head_.step + 1;
  if (next < head_.steps.size()) {
    enter(Phase::running, next, StepPhase::approving);
    if (head_.steps[next].limits.approvals > 0) stage_step(next);
    return true;
  }
  enter(Phase::watching, head_.step, StepPhase::judging);
  notice(Severity::info, kEngine, "",
         fmt::format("rollout {}: every step is done; it is watched", head_.id));
  return true;
}

bool Engine::step_has_moved() const {
  const Counts& counts = counts_[head_.step];
  const std::size_t open = counts[Standing::untouched] + counts[Standing::untouched_bad] +
                           counts[Standing::ordered] + counts[Standing::retrying] +
                           counts[Standing::checking] + counts[Standing::renewed];
  const std::size_t silent = counts[Standing::silent] + counts[Standing::silent_open];
  return open == 0 &&
         silent <= head_.steps[head_.step].limits.max_silent.as_limit(size_of(head_.step));
}

const std::vector<std::string>& Engine::wanted_gates() const {
  return head_.phase == Phase::watching ? head_.strategy.late_gates
                                        : head_.steps[head_.step].limits.gates;
}

bool Engine::gates_are_good() const {
  const auto& wanted = wanted_gates();
  return std::all_of(wanted.begin(), wanted.end(), [this](const std::string& gate) {
    const auto found = head_.gates.find(gate);
    return found != head_.gates.end() && found->second.verdict == Verdict::good;
  });
}

std::vector<GateWanted> Engine::gates_wanted() const {
  if (head_.stopped || (head_.phase != Phase::running && head_.phase != Phase::watching)) return {};
  if (head_.phase == Phase::running && (head_.step_phase == StepPhase::approving)) return {};
  std::vector<GateWanted> wanted;
  for (const auto& gate : wanted_gates()) wanted.push_back({head_.step, gate});
  return wanted;
}

// ---- Orders

// Who gives a canary its share, the kernel or a proxy, is a matter of its host.
bool Engine::splits_connections() const {
  return head_.strategy.canary.split != fleet::Split::hosts;
}

bool Engine::in_reach(const InstanceRecord& record) const {
  switch (head_.phase) {
    case Phase::running:
      return record.step < head_.step ||
             (record.step == head_.step && head_.step_phase != StepPhase::approving);
    case Phase::watching:
      return true;
    case Phase::undoing:
      return head_.step_phase != StepPhase::sharing && record.step >= head_.step;
    default:
      return false;
  }
}

fleet::Revision Engine::goal_revision(const InstanceRecord& record) const {
  if (record.ended) return kNoRevision;
  return is_back() || head_.phase == Phase::undone ? record.back : record.to;
}

std::uint32_t Engine::goal_share(const InstanceRecord& record) const {
  const bool shares =
      head_.steps[record.step].kind == StepKind::canary && splits_connections() && !record.ended;
  return shares && !is_back() ? head_.share_ppm : 0;
}

bool Engine::needs_order(Index index) const {
  const InstanceRecord& record = records_[index];
  const Live& live = live_[index];
  if (record.left || is_final(head_.phase)) return false;
  if (is_back()) {
    const bool shares = record.assignment.share_ppm != 0;
    // What this rollout never touched is where it goes, or on what a superseded one left there.
    if (record.orders == 0 && record.assignment.revision == kNoRevision) return false;
    if (!in_reach(record)) return shares && head_.step_phase == StepPhase::sharing;
    if (record.assignment.revision != goal_revision(record) || shares) return true;
    // A renewal that did not succeed, or not so far: what runs is to serve on, whatever it is.
    const bool renews = record.orders > 0 && record.assignment.renew;
    if (renews && record.settled != Settled::done) return true;
    return record.settled == Settled::refused && live.retry_due;
  }
  if (wants_renewal(index)) return true;
  if (live.silent || !in_reach(record)) return false;
  switch (record.settled) {
    case Settled::untouched:
      return !record.drained;
    case Settled::refused:
      return live.retry_due;
    case Settled::done:
      if (record.assignment.share_ppm != goal_share(record)) return true;
      // Of a renewed one it has to be known how it is: otherwise it counts as unavailable, and
      // would move beside as many others as may be.
      return awaits_wave(record) && !record.drained &&
             (live.standing == Standing::renewed || live.standing == Standing::bad);
    case Settled::ordered:
    case Settled::failed:
      return false;
  }
  return false;
}

void Engine::queue(Index index) {
  Live& live = live_[index];
  // Who is not well costs nothing of what may be unavailable, and waits behind nobody.
  const bool urgent = is_unavailable(live.standing);
  if (live.queued && (!urgent || live.urgent)) return;
  live.queued = true;
  auto& queue = todo_[records_[index].step];
  if (urgent) {
    live.urgent = true;
    queue.push_front(index);
  } else {
    queue.push_back(index);
  }
}

void Engine::clear_queue() {
  for (const auto& [step, queue] : todo_) {
    for (const Index index : queue) live_[index].queued = live_[index].urgent = false;
  }
  todo_.clear();
}

void Engine::queue_step(std::uint32_t step) {
  for (const Index index : by_step_[step]) {
    if (needs_order(index)) queue(index);
  }
}

bool Engine::may_move(Index index) const {
  const InstanceRecord& record = records_[index];
  if (record.orders > 0 && record.assignment.revision == goal_revision(record) &&
      record.settled == Settled::done) {
    return true;  // its share alone
  }
  if (is_unavailable(live_[index].standing)) return true;
  const std::size_t limit = max_unavailable_in(record.step);
  if (!is_back()) return unavailable_in(record.step) < limit;
  // Back, whoever is not well already is no reason to wait.
  return live_[index].silent || counts_[record.step][Standing::ordered] < limit;
}

void Engine::work_queue() {
  if (head_.paused) return;
  for (auto& [step, queue] : todo_) {
    while (!queue.empty()) {
      const Index index = queue.front();
      const bool needed = needs_order(index);
      if (needed && !may_move(index)) break;
      queue.pop_front();
      live_[index].queued = false;
      live_[index].urgent = false;
      if (!needed) continue;
      const InstanceRecord& record = records_[index];
      if (wants_renewal(index)) {
        order(index, record.assignment.revision, 0, true);
        continue;
      }
      const bool share_only = is_back() && !in_reach(record);
      order(index, share_only ? record.assignment.revision : goal_revision(record),
            goal_share(record));
    }
  }
  std::erase_if(todo_, [](const auto& one) { return one.second.empty(); });
}

// The share of what is moved anew is set by an order of its own, once it serves.
void Engine::order(Index index, fleet::Revision revision, std::uint32_t share_ppm, bool renew) {
  InstanceRecord& record = records_[index];
  const bool moves = record.orders == 0 || record.assignment.revision != revision;
  const bool is_new =
      moves || record.assignment.share_ppm != share_ppm || record.assignment.renew != renew;
  if (is_new) record.refusals = 0;
  ++record.orders;
  record.assignment = {.revision = revision,
                       .stage = kNoRevision,
                       .order = fmt::format("{}.{}.{}", head_.id, record.step, record.orders),
                       .share_ppm = moves ? 0 : share_ppm,
                       .share_salt = head_.strategy.canary.salt,
                       .renew = renew};
  record.settled = Settled::ordered;
  record.text.clear();
  Live& live = live_[index];
  live.retry_due = false;
  live.result = fleet::OrderResult::none;
  live.handoff.reset();
  live.text.clear();
  live.ordered_at = now_.monotonic;
  touch(index, true);
  review(index);
  if (live.standing == Standing::ordered) set_timer_for(index);
}

// What comes next lies there by then.
void Engine::stage_step(std::uint32_t step) {
  if (step >= head_.steps.size()) return;
  for (const Index index : by_step_[step]) {
    InstanceRecord& record = records_[index];
    if (!awaits_wave(record) || record.left || record.to == kNoRevision ||
        record.assignment.revision == record.to || record.assignment.stage == record.to) {
      continue;
    }
    record.assignment.stage = record.to;
    touch(index, true);
  }
}

void Engine::order_shares() {
  for (const Index index : canaries_) {
    if (needs_order(index)) queue(index);
  }
}

bool Engine::shares_are_set() const {
  if (canaries_.empty()) return true;
  // All canary slots are of the first step.
  const Counts& counts = counts_[records_[canaries_.front()].step];
  // On the way back a share that was refused goes with the slot, which goes next.
  return !todo_.contains(records_[canaries_.front()].step) && counts[Standing::ordered] == 0 &&
         (is_back() || counts[Standing::retrying] == 0);
}

void Engine::order_leftovers() {
  for (Index i = 0; i < records_.size(); ++i) {
    InstanceRecord& record = records_[i];
    if (record.left) continue;
    if (record.ended) {  // while it is open it is heard of later, too
      if (record.settled == Settled::done || record.settled == Settled::ordered) continue;
      record.ended = false;
      order(i, record.to, 0);
      continue;
    }
    const bool untouched = awaits_wave(record) && !record.drained;
    if (untouched || record.assignment.share_ppm != 0) order(i, goal_revision(record), 0);
  }
}

// ---- Back

void Engine::begin_undo(const std::string& by, const std::string& why) {
  clear_queue();
  head_.text = why.substr(0, Rollout::kMaxTextBytes);
  head_.paused = false;
  head_.paused_text.clear();
  head_.promoted = false;
  head_.promoted_all = false;
  head_.ended_ms = 0;
  const bool shared = head_.share_ppm != 0;
  head_.share_ppm = 0;
  notice(Severity::warning, by, "",
         fmt::format("rollout {} is undone from step {} back: {}", head_.id,
                     head_.steps[head_.step].name, why));
  // Steps that had not begun may be staged, or be on what a superseded rollout left there.
  const auto from = static_cast<std::uint32_t>(head_.steps.size()) - 1;
  enter(Phase::undoing, from, shared ? StepPhase::sharing : StepPhase::moving);
  if (shared) {
    order_shares();
  } else {
    queue_step(from);
  }
}

bool Engine::advance_undo() {
  const Counts& counts = counts_[head_.step];
  const bool quiet =
      todo_.empty() && counts[Standing::ordered] == 0 && counts[Standing::retrying] == 0;
  switch (head_.step_phase) {
    case StepPhase::sharing:
      if (!shares_are_set()) return false;
      enter_step_phase(StepPhase::moving);
      queue_step(head_.step);
      return true;
    case StepPhase::moving: {
      if (!quiet) return false;
      for (const Index index : by_step_[head_.step]) {
        InstanceRecord& record = records_[index];
        const bool moved = record.orders != 0 && !awaits_wave(record);
        if (moved || record.assignment.stage == kNoRevision) continue;
        record.assignment.stage = kNoRevision;
        touch(index, true);
      }
      if (head_.step > 0) {
        enter(Phase::undoing, head_.step - 1, StepPhase::moving);
        queue_step(head_.step);
      } else {
        enter_step_phase(StepPhase::settling);
        end_idle_canaries();
      }
      return true;
    }
    case StepPhase::settling: {
      if (!todo_.empty() ||
          all_[Standing::ordered] + all_[Standing::retrying] + all_[Standing::silent_open] > 0) {
        return false;
      }
      const std::size_t failed = all_[Standing::failed] + all_[Standing::failed_bad];
      if (failed == 0) {
        finish(Phase::undone, head_.text);
      } else {
        finish(Phase::failed, left_behind_text(failed));
      }
      return false;
    }
    default:
      SEGUE_ASSERT(false && "a step phase that undoing does not have");
  }
  return false;
}

}  // namespace segue::rollout
