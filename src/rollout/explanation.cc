// SPDX-License-Identifier: Apache-2.0
// What a person is told: what it waits for, on which host, since when, and what comes next.
#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include "rollout/engine.h"

namespace segue::rollout {
namespace {

std::string duration_text(std::uint64_t milliseconds) {
  const std::uint64_t seconds = (milliseconds + 500) / 1'000;
  if (seconds < 120) return fmt::format("{} s", seconds);
  if (seconds < 7'200) return fmt::format("{} min {} s", seconds / 60, seconds % 60);
  return fmt::format("{} h {} min", seconds / 3'600, seconds % 3'600 / 60);
}

std::string since_text(std::uint64_t since_ms, Now now) {
  const auto now_ms =
      std::chrono::duration_cast<std::chrono::milliseconds>(now.real.time_since_epoch()).count();
  const auto since = static_cast<std::int64_t>(since_ms);
  return duration_text(now_ms > since ? static_cast<std::uint64_t>(now_ms - since) : 0);
}

std::string percent_text(std::uint32_t share_ppm) {
  return fmt::format("{}%", share_ppm / 10'000.0);
}

}  // namespace

std::string Engine::waits_for(Now now) const {
  if (head_.phase == Phase::waiting) {
    return fmt::format("the end of rollout {}", head_.behind);
  }
  if (head_.phase == Phase::preparing) return "its records to be written";
  if (is_final(head_.phase)) return "";
  if (head_.stopped) return "the end of the emergency stop";
  if (head_.paused) {
    return fmt::format("somebody to resume it; it was paused {}", head_.paused_text);
  }
  if (head_.phase == Phase::watching) {
    return fmt::format(
        "the end of the watch in {}",
        duration_text(static_cast<std::uint64_t>(
            std::chrono::duration_cast<std::chrono::milliseconds>(time_to_pass()).count())));
  }
  switch (head_.step_phase) {
    case StepPhase::approving: {
      std::string given;
      for (const auto& by : head_.approved_by) given += (given.empty() ? "" : ", ") + by;
      const std::uint32_t needed = approvals_needed();
      return fmt::format("the approval of {} more person{}{}", needed, needed == 1 ? "" : "s",
                         given.empty() ? "" : ", has that of " + given);
    }
    case StepPhase::moving:
    case StepPhase::renewing:
    case StepPhase::settling:
    case StepPhase::sharing:
      return moving_text(now);
    case StepPhase::baking:
      return fmt::format(
          "{} more to pass without trouble",
          duration_text(static_cast<std::uint64_t>(
              std::chrono::duration_cast<std::chrono::milliseconds>(time_to_pass()).count())));
    case StepPhase::judging: {
      for (const auto& gate : wanted_gates()) {
        const auto found = head_.gates.find(gate);
        if (found != head_.gates.end() && found->second.verdict == Verdict::good) continue;
        return fmt::format("gate {}: {}", gate,
                           found == head_.gates.end() || found->second.text.empty()
                               ? "no verdict so far"
                               : found->second.text);
      }
      return moving_text(now);
    }
  }
  return "";
}

// The first instance, by urgency, that the step cannot go on without.
std::string Engine::moving_text(Now now) const {
  constexpr std::pair<Standing, const char*> kReasons[] = {
      {Standing::ordered, "to be moved"},
      {Standing::retrying, "to be tried again"},
      {Standing::checking, "its health to be good"},
      {Standing::silent_open, "to be heard of"},
      {Standing::silent, "to be heard of"},
      {Standing::bad, "to be well again"},
      {Standing::failed_bad, "to be well again: no other may be unavailable meanwhile"},
      {Standing::untouched_bad, "to be moved"},
      {Standing::untouched, "its turn"}};
  const bool all = head_.step_phase == StepPhase::settling;
  const std::uint32_t step = head_.step_phase == StepPhase::sharing && !canaries_.empty()
                                 ? records_[canaries_.front()].step
                                 : head_.step;
  const bool renews = head_.step_phase == StepPhase::renewing;
  for (const auto& [standing, reason] : kReasons) {
    const std::size_t count = all      ? all_[standing]
                              : renews ? renewing_[standing]
                                       : counts_[step][standing];
    if (count == 0) continue;
    const auto here = [&](Index index) { return live_[index].standing == standing; };
    Index first = 0;
    if (all) {
      while (!here(first)) ++first;
    } else {
      const auto& among = renews ? renewals_ : by_step_[step];
      first = *std::find_if(among.begin(), among.end(), here);
    }
    const std::string& text =
        records_[first].text.empty() ? live_[first].text : records_[first].text;
    return fmt::format("{}{} {}, for {}{}{}{}", records_[first].host,
                       records_[first].slot == fleet::Slot::canary ? " (canary)" : "", reason,
                       since_text(live_[first].since_ms, now), text.empty() ? "" : ": ", text,
                       count == 1 ? "" : fmt::format("; and {} others", count - 1));
  }
  return "nothing";
}

// Of an undo: on which hosts, why not, and what a person can do.
std::string Engine::left_behind_text(std::size_t count) const {
  constexpr std::size_t kMaxNamed = 2;
  constexpr std::size_t kMaxReasonBytes = 220;
  std::string named;
  std::size_t left = kMaxNamed;
  for (Index i = 0; i < records_.size() && left > 0; ++i) {
    const Standing standing = live_[i].standing;
    if (standing != Standing::failed && standing != Standing::failed_bad) continue;
    --left;
    named += fmt::format("{}{}{} ({})", named.empty() ? "" : ", ", records_[i].host,
                         records_[i].slot == fleet::Slot::canary ? " (canary)" : "",
                         records_[i].text.substr(0, kMaxReasonBytes));
  }
  return fmt::format(
      "{} instance{} could not be brought back: {}{}. There runs what ran before the attempt. Undo "
      "it again to try those once more, undo the rollout before it to go further back, or deploy "
      "another version. It was undone because: {}",
      count, count == 1 ? "" : "s", named, count > kMaxNamed ? " and others" : "", head_.text);
}

std::string Engine::what_comes_next() const {
  if (head_.phase == Phase::waiting || head_.phase == Phase::preparing) return "it begins";
  if (is_final(head_.phase)) return "";
  if (head_.phase == Phase::watching) return "it is done";
  if (is_back()) {
    if (head_.step_phase == StepPhase::sharing) return "what was moved goes back, step by step";
    if (head_.step_phase == StepPhase::settling) return "it is undone";
    return head_.step == 0 ? "it is undone"
                           : fmt::format("step {} goes back", head_.steps[head_.step - 1].name);
  }
  switch (head_.step_phase) {
    case StepPhase::approving:
      return fmt::format("step {} begins on {} instances", head_.steps[head_.step].name,
                         size_of(head_.step));
    case StepPhase::moving:
      if (begins_renewals()) return "the stable slots beside the canary are renewed";
      [[fallthrough]];
    case StepPhase::renewing:
      if (head_.steps[head_.step].kind != StepKind::wave) {
        return fmt::format("the canary gets {} of new connections",
                           percent_text(head_.steps[head_.step].share_ppm));
      }
      break;
    default:
      break;
  }
  if (head_.step + 1 < head_.steps.size()) {
    return fmt::format("step {} begins", head_.steps[head_.step + 1].name);
  }
  return head_.strategy.late_watch.count() > 0 ? "it is watched for a while" : "it is done";
}

// Times to pass, and moves as fast as those so far.
std::optional<std::uint64_t> Engine::remaining_ms() const {
  if (is_final(head_.phase) || head_.steps.empty() || head_.paused || head_.stopped) {
    return std::nullopt;
  }
  base::Duration sum{};
  if (counts_time()) sum += time_to_pass();
  if (head_.phase == Phase::running) sum += head_.strategy.late_watch;
  const base::Duration per_move =
      moves_timed_ == 0 ? base::Duration(0) : move_time_ / static_cast<std::int64_t>(moves_timed_);
  for (std::uint32_t i = 0; i < head_.steps.size(); ++i) {
    const Counts& counts = counts_[i];
    const bool ahead = !is_back() && head_.phase == Phase::running && i > head_.step;
    if (ahead) sum += head_.steps[i].limits.bake;
    const std::size_t open = is_back() ? counts[Standing::good] + counts[Standing::bad]
                                       : counts[Standing::untouched] + counts[Standing::ordered] +
                                             counts[Standing::renewed];
    if (open > 0 && moves_timed_ == 0) return std::nullopt;
    if (is_back() && i > head_.step) continue;
    const std::size_t at_once = max_unavailable_in(i);
    sum += per_move * static_cast<std::int64_t>((open + at_once - 1) / at_once);
  }
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(sum).count());
}

InstanceProgress Engine::instance_progress(Index index) const {
  const InstanceRecord& record = records_[index];
  const Live& live = live_[index];
  return {.host = record.host,
          .slot = record.slot,
          .step = record.step,
          .standing = standing_text(index),
          .revision = live.revision,
          .activity = live.activity,
          .health = live.health,
          .connections = live.connections,
          .handoff = live.handoff,
          .since_ms = live.since_ms,
          .text = record.text.empty() ? live.text : record.text};
}

std::string Engine::standing_text(Index index) const {
  const InstanceRecord& record = records_[index];
  switch (live_[index].standing) {
    case Standing::skipped:
      return record.left ? "left" : "drained";
    case Standing::silent:
    case Standing::silent_open:
      return "silent";
    case Standing::untouched:
      return "waiting";
    case Standing::untouched_bad:
      return "waiting, not well";
    case Standing::ordered:
      return "moving";
    case Standing::retrying:
      return "retrying";
    case Standing::checking:
      return "checking";
    case Standing::good:
      return record.ended ? "ended" : "good";
    case Standing::bad:
      return "bad";
    case Standing::failed:
    case Standing::failed_bad:
      return "failed";
    case Standing::renewed:
      return "renewed";
  }
  return "";
}

bool Engine::is_noteworthy(Index index) const {
  const Standing standing = live_[index].standing;
  const bool is_over = is_final(head_.phase) && records_[index].settled != Settled::failed;
  return !is_over && standing != Standing::good && standing != Standing::renewed &&
         standing != Standing::untouched && standing != Standing::skipped;
}

TrafficProgress Engine::traffic() const {
  TrafficProgress sum;
  for (Index i = 0; i < records_.size(); ++i) {
    const Live& live = live_[i];
    (records_[i].slot == fleet::Slot::stable ? sum.stable : sum.canary) += live.connections;
    if (!live.handoff) continue;
    ++sum.handoffs;
    sum.moved += live.handoff->connections;
    sum.lost += live.handoff->lost;
    sum.worst_blackout_us = std::max(sum.worst_blackout_us, live.handoff->blackout_us);
  }
  return sum;
}

// Those that are noteworthy, of the present step and then of those around it; then the others.
std::vector<Engine::Index> Engine::nearest_instances(std::size_t count) const {
  std::vector<Index> chosen;
  const std::size_t steps = by_step_.size();
  std::vector<std::uint32_t> order{head_.step};
  if (!canaries_.empty()) order.push_back(records_[canaries_.front()].step);
  for (std::size_t away = 1; away < steps; ++away) {
    if (head_.step + away < steps) order.push_back(static_cast<std::uint32_t>(head_.step + away));
    if (away <= head_.step) order.push_back(static_cast<std::uint32_t>(head_.step - away));
  }
  std::vector<bool> is_chosen(records_.size());
  for (const bool noteworthy : {true, false}) {
    for (const std::uint32_t step : order) {
      for (const Index index : by_step_[step]) {
        if (chosen.size() == count) break;
        if (is_chosen[index] || (noteworthy && !is_noteworthy(index))) continue;
        is_chosen[index] = true;
        chosen.push_back(index);
      }
    }
  }
  const auto place = [this](Index index) {
    const InstanceRecord& record = records_[index];
    return std::tie(record.step, record.host, record.slot);
  };
  std::sort(chosen.begin(), chosen.end(), [&](Index a, Index b) { return place(a) < place(b); });
  return chosen;
}

StepProgress Engine::step_progress(std::uint32_t step) const {
  const Counts& counts = counts_[step];
  StepProgress progress{.name = head_.steps[step].name,
                        .kind = head_.steps[step].kind,
                        .state = "to-come",
                        .share_ppm = head_.steps[step].share_ppm,
                        .instances = size_of(step)};
  const bool back = is_back() || head_.phase == Phase::undone || head_.phase == Phase::failed;
  if (is_final(head_.phase)) return what_became_of(step, std::move(progress));
  if (back) {
    for (const Index index : by_step_[step]) {
      const InstanceRecord& record = records_[index];
      if (record.orders > 0 && !awaits_wave(record) && record.settled == Settled::done &&
          record.assignment.revision == goal_revision(record)) {
        ++progress.moved;
      }
    }
  } else {
    progress.moved = counts[Standing::good] + counts[Standing::bad];
  }
  progress.moving =
      counts[Standing::ordered] + counts[Standing::checking] + counts[Standing::retrying];
  progress.failed =
      counts[Standing::failed] + counts[Standing::failed_bad] + (back ? 0 : counts[Standing::bad]);
  progress.silent = counts[Standing::silent] + counts[Standing::silent_open];
  progress.skipped = counts[Standing::skipped];
  if (back) {
    progress.state = step > head_.step ? "undone" : step == head_.step ? "current" : "done";
  } else if (head_.phase == Phase::watching) {
    progress.state = "done";
  } else if (step <= head_.step) {
    progress.state = step == head_.step ? "current" : "done";
  }
  return progress;
}

// Of one that is over the records tell; nobody is heard of any more.
StepProgress Engine::what_became_of(std::uint32_t step, StepProgress progress) const {
  std::size_t ordered = 0;
  for (const Index index : by_step_[step]) {
    const InstanceRecord& record = records_[index];
    if (record.orders > 0) ++ordered;
    switch (record.settled) {
      case Settled::done:
        ++(awaits_wave(record) ? progress.skipped : progress.moved);
        break;
      case Settled::failed:
        ++progress.failed;
        break;
      case Settled::ordered:
      case Settled::refused:
        ++progress.moving;
        break;
      case Settled::untouched:
        if (record.left || record.drained) ++progress.skipped;
        break;
    }
  }
  const bool back = head_.phase == Phase::undone || head_.phase == Phase::failed;
  const bool untouched = head_.phase == Phase::done ? false : ordered == 0;
  progress.state = untouched ? "left-alone" : back ? "undone" : "done";
  return progress;
}

Progress Engine::progress(Now now, std::size_t instances) const {
  Progress progress{.id = head_.id,
                    .component = head_.component,
                    .title = head_.title,
                    .author = head_.author,
                    .phase = head_.phase,
                    .step = head_.step,
                    .step_phase = head_.step_phase,
                    .since_ms = head_.since_ms,
                    .share_ppm = head_.share_ppm,
                    .paused = head_.paused,
                    .stopped = head_.stopped,
                    .why = head_.text};
  if (counts_.empty()) {
    progress.waits_for = head_.steps.empty() ? waits_for(now) : "";
    progress.next = what_comes_next();
    return progress;
  }
  progress.waits_for = waits_for(now);
  progress.next = what_comes_next();
  progress.remaining_ms = remaining_ms();
  for (std::uint32_t i = 0; i < head_.steps.size(); ++i) {
    progress.steps.push_back(step_progress(i));
  }
  if (head_.phase == Phase::running || head_.phase == Phase::watching) {
    for (const auto& gate : wanted_gates()) {
      const auto found = head_.gates.find(gate);
      const GateState state = found == head_.gates.end() ? GateState{} : found->second;
      progress.gates.push_back({gate, state.verdict, state.text});
    }
  }
  const bool renews = head_.step_phase == StepPhase::renewing;
  for (const Index index : renews ? renewals_ : by_step_[head_.step]) {
    if (progress.noteworthy.size() == Progress::kMaxNoteworthy) break;
    if (is_noteworthy(index)) progress.noteworthy.push_back(instance_progress(index));
  }
  progress.traffic = traffic();
  for (const Index index : nearest_instances(std::min(instances, Progress::kMaxInstances))) {
    progress.instances.push_back(instance_progress(index));
  }
  return progress;
}

std::vector<InstanceProgress> Engine::instances(std::uint32_t step, std::size_t first,
                                                std::size_t count) const {
  std::vector<InstanceProgress> list;
  if (step >= by_step_.size()) return list;
  const auto& all = by_step_[step];
  for (std::size_t i = first; i < all.size() && list.size() < count; ++i) {
    list.push_back(instance_progress(all[i]));
  }
  return list;
}

}  // namespace segue::rollout
