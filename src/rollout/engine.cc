// SPDX-License-Identifier: Apache-2.0
// Instances, what they count as, and what is to be stored.
#include "rollout/engine.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "rollout/planning.h"

namespace segue::rollout {

using base::ErrorCode;
using base::fail;
using base::Result;
using fleet::Health;

namespace {

std::uint64_t milliseconds_of(base::RealTime time) {
  const auto count =
      std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
  return count < 0 ? 0 : static_cast<std::uint64_t>(count);
}

Result<void> check_text(std::string_view field, const std::string& text, std::size_t max) {
  if (text.size() <= max) return {};
  return fail(ErrorCode::invalid_argument, "{}: has {} bytes, at most {}", field, text.size(), max);
}

bool is_id(const std::string& id) {
  return !id.empty() && id.size() <= Rollout::kMaxIdBytes &&
         id.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
}

}  // namespace

Result<Engine> Engine::propose(const NewRollout& request, Now now) {
  if (!is_id(request.id)) {
    return fail(ErrorCode::invalid_argument, "id: '{}' is not 1 to {} of [a-z0-9-]",
                request.id.substr(0, Rollout::kMaxIdBytes), Rollout::kMaxIdBytes);
  }
  if (request.component.empty() || request.author.empty()) {
    return fail(ErrorCode::invalid_argument, "a rollout has a component and an author");
  }
  SEGUE_TRY(check_text("component", request.component, Rollout::kMaxTextBytes));
  SEGUE_TRY(check_text("author", request.author, Rollout::kMaxTextBytes));
  SEGUE_TRY(check_text("title", request.title, Rollout::kMaxTextBytes));
  SEGUE_TRY(fleet::check(request.strategy));
  Rollout head;
  head.id = request.id;
  head.component = request.component;
  head.author = request.author;
  head.title = request.title;
  head.created_ms = milliseconds_of(now.real);
  head.since_ms = head.created_ms;
  head.target = request.target;
  head.checks_health = request.checks_health;
  head.strategy = request.strategy;
  head.behind = request.behind;
  head.phase = request.behind.empty() ? Phase::preparing : Phase::waiting;
  return Engine(std::move(head));
}

Engine::Engine(Rollout head, std::vector<InstanceRecord> records)
    : head_(std::move(head)), records_(std::move(records)) {
  kept_elapsed_ms_ = head_.elapsed_ms;
}

Changes Engine::announce() {
  touch_head();
  return take_changes();
}

Result<Changes> Engine::begin(fleet::Revision good, const std::vector<HostFacts>& hosts, Now now) {
  SEGUE_ASSERT(head_.phase == Phase::preparing || head_.phase == Phase::waiting);
  begin_event(now);
  head_.base = good;
  auto plan = plan_rollout(head_, hosts);
  if (!plan) {
    if (head_.behind.empty()) return fail(std::move(plan).error());
    finish(Phase::failed, plan.error().message());
    return take_changes();
  }
  std::vector<InstanceRecord> before = std::move(records_);
  records_.clear();
  head_.steps = std::move(plan->steps);
  enter(Phase::preparing, 0, StepPhase::approving);
  flush();
  records_ = std::move(plan->records);
  index_everything();
  for (Index i = 0; i < records_.size(); ++i) touch(i, false);
  mark_facts(hosts);
  // What an earlier attempt to begin has written for hosts or slots that are not planned any more.
  for (auto& record : before) {
    if (find(record.host, record.slot)) continue;
    record.step = 0;
    record.left = true;
    add_instance(std::move(record));
    touch(static_cast<Index>(records_.size() - 1), false);
  }
  flush();
  notice(Severity::info, head_.author, "",
         fmt::format("rollout {} of {} begins: {} steps, {} instances", head_.id,
                     head_.title.empty() ? head_.component : head_.title, head_.steps.size(),
                     records_.size()));
  enter(Phase::running, 0, StepPhase::approving);
  if (head_.steps[0].limits.approvals > 0) stage_step(0);
  advance();
  return take_changes();
}

Changes Engine::resume(const std::vector<HostFacts>& hosts, Now now) {
  begin_event(now);
  if (head_.steps.empty()) return {};
  index_everything();
  mark_facts(hosts);
  for (Index i = 0; i < records_.size(); ++i) {
    live_[i].retry_due = records_[i].settled == Settled::refused;
    if (needs_order(i)) queue(i);
  }
  if (!is_final(head_.phase) && !is_back()) {
    stage_step(head_.step);
    stage_step(head_.step + 1);
  }
  advance();
  return take_changes();
}

Result<Changes> Engine::handle(const Event& event, Now now) {
  begin_event(now);
  SEGUE_TRY(std::visit([this](const auto& one) { return on(one); }, event));
  advance();
  return take_changes();
}

void Engine::begin_event(Now now) {
  now_ = now;
  changes_ = {};
  pass_time();
}

// Only what this process saw pass is counted, on a clock that does not jump.
void Engine::pass_time() {
  if (!counts_time()) {
    counted_until_.reset();
    return;
  }
  if (counted_until_ && now_.monotonic > *counted_until_) {
    const auto passed =
        std::chrono::duration_cast<std::chrono::milliseconds>(now_.monotonic - *counted_until_);
    head_.elapsed_ms += static_cast<std::uint64_t>(passed.count());
    *counted_until_ += passed;
  } else if (!counted_until_) {
    counted_until_ = now_.monotonic;
  }
  const auto kept = std::chrono::milliseconds(head_.elapsed_ms - kept_elapsed_ms_);
  if (kept >= kElapsedKept) touch_head();
}

// ---- Instances

void Engine::index_everything() {
  live_.assign(records_.size(), {});
  counts_.assign(head_.steps.size(), {});
  by_step_.assign(head_.steps.size(), {});
  all_ = {};
  canaries_.clear();
  renewals_.clear();
  renewing_ = {};
  hosts_.clear();
  todo_.clear();
  timers_.clear();
  violated_.clear();
  dirty_.clear();
  std::vector<InstanceRecord> records = std::move(records_);
  records_.clear();
  records_.reserve(records.size());
  live_.clear();
  for (auto& record : records) add_instance(std::move(record));
}

void Engine::add_instance(InstanceRecord record) {
  const auto index = static_cast<Index>(records_.size());
  if (record.step >= head_.steps.size()) {
    record.step = 0;
    record.left = true;
  }
  hosts_[record.host].push_back(index);
  by_step_[record.step].push_back(index);
  if (head_.steps[record.step].kind == StepKind::canary) canaries_.push_back(index);
  if (record.renews) renewals_.push_back(index);
  records_.push_back(std::move(record));
  live_.emplace_back();
  live_[index].standing = standing_of(index);
  live_[index].since_ms = milliseconds_of(now_.real);
  count(index, true);
  set_timer_for(index);
}

std::optional<Engine::Index> Engine::find(const std::string& host, fleet::Slot slot) const {
  const auto found = hosts_.find(host);
  if (found == hosts_.end()) return std::nullopt;
  for (const Index index : found->second) {
    if (records_[index].slot == slot) return index;
  }
  return std::nullopt;
}

Engine::Standing Engine::standing_of(Index index) const {
  const InstanceRecord& record = records_[index];
  const Live& live = live_[index];
  const bool is_open = record.settled == Settled::ordered || record.settled == Settled::refused;
  if (record.left || (record.drained && !is_open)) return Standing::skipped;
  // Beside a canary slot that does not run its host serves on, unless connections are sent there.
  const bool is_needed = record.slot == fleet::Slot::stable || record.assignment.share_ppm > 0;
  const bool serves_nothing = is_needed && live.heard && live.revision == fleet::kNoRevision &&
                              record.assignment.revision != fleet::kNoRevision;
  const bool not_well = live.heard && (live.health == Health::bad || serves_nothing);
  if (record.settled == Settled::failed) return not_well ? Standing::failed_bad : Standing::failed;
  if (live.silent) return is_open ? Standing::silent_open : Standing::silent;
  switch (record.settled) {
    case Settled::untouched:
      return not_well && record.assignment.revision != fleet::kNoRevision ? Standing::untouched_bad
                                                                          : Standing::untouched;
    case Settled::ordered:
      return Standing::ordered;
    case Settled::refused:
      return Standing::retrying;
    case Settled::done:
    case Settled::failed:
      break;
  }
  if (!live.heard) return Standing::checking;
  if (record.assignment.revision == fleet::kNoRevision) return Standing::good;
  if (not_well) return Standing::bad;
  if (live.revision != record.assignment.revision) return Standing::checking;
  if (head_.checks_health && live.health != Health::good) return Standing::checking;
  return record.assignment.renew ? Standing::renewed : Standing::good;
}

bool Engine::is_unavailable(Standing standing) {
  switch (standing) {
    case Standing::untouched_bad:
    case Standing::ordered:
    case Standing::checking:
    case Standing::bad:
    case Standing::failed_bad:
      return true;
    case Standing::skipped:
    case Standing::silent:
    case Standing::silent_open:
    case Standing::untouched:
    case Standing::retrying:
    case Standing::good:
    case Standing::failed:
    case Standing::renewed:
      break;
  }
  return false;
}

void Engine::review(Index index) {
  const Standing standing = standing_of(index);
  Live& live = live_[index];
  if (standing == live.standing) return;
  count(index, false);
  const bool is_well = standing == Standing::good || standing == Standing::renewed;
  if (live.standing == Standing::ordered && is_well && live.ordered_at) {
    move_time_ += now_.monotonic - *live.ordered_at;
    ++moves_timed_;
  }
  live.standing = standing;
  live.since_ms = milliseconds_of(now_.real);
  count(index, true);
  set_timer_for(index);
  if (needs_order(index)) queue(index);
}

void Engine::count(Index index, bool in) {
  const std::uint32_t step = records_[index].step;
  const auto standing = static_cast<std::size_t>(live_[index].standing);
  const std::size_t change = in ? 1 : static_cast<std::size_t>(-1);
  counts_[step].of[standing] += change;
  all_.of[standing] += change;
  if (records_[index].renews) renewing_.of[standing] += change;
  if (is_violated(step)) {
    violated_.insert(step);
  } else {
    violated_.erase(step);
  }
}

void Engine::review_violations() {
  violated_.clear();
  for (std::uint32_t step = 0; step < head_.steps.size(); ++step) {
    if (is_violated(step)) violated_.insert(step);
  }
}

std::size_t Engine::failures_in(std::uint32_t step) const {
  const Counts& counts = counts_[step];
  return counts[Standing::bad] + counts[Standing::failed] + counts[Standing::failed_bad];
}

bool Engine::is_violated(std::uint32_t step) const {
  return failures_in(step) >
         head_.steps[step].limits.max_failures.as_limit(size_of(step)) + head_.accepted_failures;
}

std::size_t Engine::unavailable_in(std::uint32_t step) const {
  const Counts& counts = counts_[step];
  std::size_t unavailable = 0;
  for (std::size_t i = 0; i < kStandings; ++i) {
    if (is_unavailable(static_cast<Standing>(i))) unavailable += counts.of[i];
  }
  const std::size_t silent = counts[Standing::silent] + counts[Standing::silent_open];
  const std::size_t allowed = head_.steps[step].limits.max_silent.as_limit(size_of(step));
  return unavailable + (silent > allowed ? silent - allowed : 0);
}

std::size_t Engine::max_unavailable_in(std::uint32_t step) const {
  return std::max<std::size_t>(1, head_.steps[step].limits.max_unavailable.as_limit(size_of(step)));
}

void Engine::set_timer_for(Index index) {
  Live& live = live_[index];
  switch (live.standing) {
    case Standing::ordered:
    case Standing::checking:
    case Standing::bad:
    case Standing::failed_bad:
      set_timer(index, now_.monotonic + head_.strategy.order_limit);
      return;
    case Standing::retrying: {
      base::Duration pause = head_.strategy.first_retry;
      for (std::uint32_t i = 1; i < records_[index].refusals && pause < kMaxRetry; ++i) pause *= 2;
      set_timer(index, now_.monotonic + std::min<base::Duration>(pause, kMaxRetry));
      return;
    }
    default:
      set_timer(index, std::nullopt);
  }
}

void Engine::set_timer(Index index, std::optional<base::MonotonicTime> at) {
  Live& live = live_[index];
  if (live.timer) timers_.erase({*live.timer, index});
  live.timer = at;
  if (at) timers_.emplace(*at, index);
}

// ---- What is to be stored

void Engine::touch(Index index, bool assigns) {
  Live& live = live_[index];
  live.assigns = live.assigns || assigns;
  if (live.dirty) return;
  live.dirty = true;
  dirty_.push_back(index);
}

void Engine::flush() {
  std::size_t next = 0;
  while (head_dirty_ || next < dirty_.size()) {
    Batch batch;
    if (head_dirty_) {
      batch.head = head_;
      kept_elapsed_ms_ = head_.elapsed_ms;
      head_dirty_ = false;
    }
    for (; next < dirty_.size() && batch.instances.size() < Batch::kMaxInstances; ++next) {
      Live& live = live_[dirty_[next]];
      batch.instances.push_back({records_[dirty_[next]], live.assigns});
      live.dirty = false;
      live.assigns = false;
    }
    changes_.batches.push_back(std::move(batch));
  }
  dirty_.clear();
}

Changes Engine::take_changes() {
  flush();
  return std::exchange(changes_, {});
}

void Engine::notice(Severity severity, const std::string& by, const std::string& host,
                    std::string text) {
  changes_.notices.push_back({severity, by, host, std::move(text)});
}

std::optional<base::MonotonicTime> Engine::next_wakeup() const {
  std::optional<base::MonotonicTime> wakeup;
  const auto at = [&](base::MonotonicTime time) {
    if (!wakeup || time < *wakeup) wakeup = time;
  };
  if (!timers_.empty() && !head_.stopped && !is_final(head_.phase)) at(timers_.begin()->first);
  if (counts_time()) {
    const base::MonotonicTime from = counted_until_.value_or(now_.monotonic);
    at(from + kElapsedKept);
    at(from + time_to_pass());
  }
  return wakeup;
}

}  // namespace segue::rollout
