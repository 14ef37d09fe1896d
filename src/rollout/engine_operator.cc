// SPDX-License-Identifier: Apache-2.0
// What persons ask for.
#include <algorithm>
#include <set>
#include <utility>

#include "rollout/engine.h"

namespace segue::rollout {

using base::ErrorCode;
using base::fail;
using base::Result;

Result<void> Engine::check_by(const std::string& by) const {
  if (by.empty() || by.size() > Rollout::kMaxTextBytes) {
    return fail(ErrorCode::invalid_argument, "who asks has to be said, in at most {} bytes",
                Rollout::kMaxTextBytes);
  }
  return {};
}

Result<void> Engine::on(const Pause& event) {
  SEGUE_TRY(check_by(event.by));
  if (is_back()) {
    return fail(ErrorCode::failed_precondition,
                "rollout {} is being undone, which cannot be paused; an emergency stop stops it",
                head_.id);
  }
  if (head_.phase != Phase::running && head_.phase != Phase::watching) {
    return fail(ErrorCode::failed_precondition, "rollout {} is {}: there is nothing to pause",
                head_.id, to_string(head_.phase));
  }
  if (head_.paused) return {};
  head_.paused = true;
  head_.paused_text = fmt::format("by {}{}{}", event.by, event.why.empty() ? "" : ": ", event.why)
                          .substr(0, Rollout::kMaxTextBytes);
  counted_until_.reset();
  touch_head();
  notice(Severity::info, event.by, "",
         fmt::format("rollout {} is paused {}", head_.id, head_.paused_text));
  return {};
}

Result<void> Engine::on(const Resume& event) {
  SEGUE_TRY(check_by(event.by));
  if (!head_.paused) {
    return fail(ErrorCode::failed_precondition, "rollout {} is not paused", head_.id);
  }
  head_.paused = false;
  head_.paused_text.clear();
  // Whoever goes on in spite of failures has seen them.
  std::size_t accepted = head_.accepted_failures;
  for (const std::uint32_t step : violated_) {
    const std::size_t allowed = head_.steps[step].limits.max_failures.as_limit(size_of(step));
    accepted = std::max(accepted, failures_in(step) - allowed);
  }
  if (head_.strategy.on_bad == fleet::OnBad::pause) {
    head_.accepted_failures = static_cast<std::uint32_t>(accepted);
    review_violations();
    std::erase_if(head_.gates, [](const auto& one) { return one.second.verdict == Verdict::bad; });
  }
  enter_step_phase(head_.step_phase);
  notice(Severity::info, event.by, "", fmt::format("rollout {} goes on", head_.id));
  return {};
}

Result<void> Engine::on(const Promote& event) {
  SEGUE_TRY(check_by(event.by));
  if (head_.phase != Phase::running && head_.phase != Phase::watching) {
    return fail(ErrorCode::failed_precondition, "rollout {} is {}: there is no step to end",
                head_.id, to_string(head_.phase));
  }
  if (head_.paused) {
    return fail(ErrorCode::failed_precondition, "rollout {} is paused ({}): resume it first",
                head_.id, head_.paused_text);
  }
  if (head_.step_phase == StepPhase::approving && head_.phase == Phase::running && !event.all) {
    return fail(ErrorCode::failed_precondition,
                "step {} of rollout {} waits for approval: approve it instead",
                head_.steps[head_.step].name, head_.id);
  }
  head_.promoted = true;
  head_.promoted_all = head_.promoted_all || event.all;
  touch_head();
  notice(Severity::info, event.by, "",
         event.all ? fmt::format("rollout {} goes through all steps without waiting for time or "
                                 "gates",
                                 head_.id)
                   : fmt::format("rollout {} leaves step {} without waiting for time or gates",
                                 head_.id, head_.steps[head_.step].name));
  return {};
}

Result<void> Engine::on(const Undo& event) {
  SEGUE_TRY(check_by(event.by));
  const std::string why =
      fmt::format("{} wants it{}{}", event.by, event.why.empty() ? "" : ": ", event.why);
  switch (head_.phase) {
    case Phase::waiting:
    case Phase::preparing:
      finish(Phase::undone, why + " (nothing had begun)");
      return {};
    case Phase::running:
    case Phase::watching:
    case Phase::done:
      begin_undo(event.by, why);
      return {};
    case Phase::undoing:
      return fail(ErrorCode::failed_precondition, "rollout {} is being undone already", head_.id);
    case Phase::undone:
      return fail(ErrorCode::failed_precondition, "rollout {} is undone already", head_.id);
    case Phase::failed:
      if (!head_.steps.empty()) {  // once more
        for (Index i = 0; i < records_.size(); ++i) {
          if (records_[i].settled != Settled::failed || records_[i].orders == 0) continue;
          records_[i].settled = Settled::refused;
          records_[i].refusals = 0;
          live_[i].retry_due = true;
          touch(i, false);
          review(i);
        }
        begin_undo(event.by, why);
        return {};
      }
      break;
    case Phase::superseded:
      break;
  }
  return fail(ErrorCode::failed_precondition, "rollout {} is {}: undo the newer one", head_.id,
              to_string(head_.phase));
}

std::uint32_t Engine::approvals_needed() const {
  const std::uint32_t wanted = head_.steps[head_.step].limits.approvals;
  const auto given = static_cast<std::uint32_t>(head_.approved_by.size());
  if (wanted == 0) return 0;
  if (given < wanted) return wanted - given;
  // The author's word counts beside that of somebody else, never alone.
  const bool others = std::any_of(head_.approved_by.begin(), head_.approved_by.end(),
                                  [this](const auto& by) { return by != head_.author; });
  return others ? 0 : 1;
}

Result<void> Engine::on(const Approve& event) {
  SEGUE_TRY(check_by(event.by));
  if (head_.phase != Phase::running || head_.step_phase != StepPhase::approving) {
    return fail(ErrorCode::failed_precondition, "rollout {} does not wait for approval", head_.id);
  }
  const bool again = std::find(head_.approved_by.begin(), head_.approved_by.end(), event.by) !=
                     head_.approved_by.end();
  if (again) {
    return fail(ErrorCode::failed_precondition,
                "{} has approved this step already: somebody else has to", event.by);
  }
  if (head_.steps[head_.step].limits.approvals == 1 && event.by == head_.author) {
    return fail(ErrorCode::permission_denied,
                "{} is the author of rollout {}: somebody else has to approve it", event.by,
                head_.id);
  }
  if (head_.approved_by.size() >= Rollout::kMaxPersons) {
    return fail(ErrorCode::resource_exhausted, "{} persons have approved", Rollout::kMaxPersons);
  }
  head_.approved_by.push_back(event.by);
  touch_head();
  notice(Severity::info, event.by, "",
         fmt::format("approves step {} of rollout {}", head_.steps[head_.step].name, head_.id));
  return {};
}

Result<void> Engine::on(const EmergencyStop& event) {
  SEGUE_TRY(check_by(event.by));
  if (head_.stopped == event.on || is_final(head_.phase)) return {};
  head_.stopped = event.on;
  counted_until_.reset();
  touch_head();
  notice(Severity::alarm, event.by, "",
         fmt::format("rollout {} {}", head_.id,
                     event.on ? "is stopped: nothing changes until it may go on" : "may go on"));
  return {};
}

Result<void> Engine::on(const Supersede& event) {
  SEGUE_TRY(check_by(event.by));
  if (is_back()) {
    return fail(ErrorCode::failed_precondition,
                "rollout {} is being undone: the newer one waits for its end", head_.id);
  }
  if (is_final(head_.phase)) return {};
  finish(Phase::superseded,
         fmt::format("rollout {} of {} takes its place", event.rollout, event.by));
  return {};
}

Result<Admission> admit(fleet::MeanwhilePolicy policy, const std::vector<Rollout>& under_way) {
  Admission admission;
  if (under_way.empty()) {
    admission.text = "starts at once";
    return admission;
  }
  if (under_way.size() > kMaxQueued) {
    return fail(ErrorCode::resource_exhausted,
                "{} rollouts of {} wait already: undo some of them, or wait", under_way.size(),
                under_way.front().component);
  }
  const Rollout& last = under_way.back();
  admission.behind = last.id;
  if (policy == fleet::MeanwhilePolicy::supersede && last.phase != Phase::undoing) {
    admission.kind = Admission::Kind::supersedes;
    admission.supersedes = last.id;
    // Who takes the place of one that waits, waits for the same.
    if (last.phase == Phase::waiting) admission.behind = last.behind;
    admission.text =
        fmt::format("takes the place of rollout {}, which is {}", last.id, to_string(last.phase));
    return admission;
  }
  admission.kind = Admission::Kind::queues;
  admission.text = fmt::format(
      "waits for the end of rollout {}, which is {}{}", last.id, to_string(last.phase),
      policy == fleet::MeanwhilePolicy::supersede ? "; what is being undone cannot be superseded"
                                                  : "");
  return admission;
}

}  // namespace segue::rollout
