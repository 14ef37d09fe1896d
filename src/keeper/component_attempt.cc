// SPDX-License-Identifier: Apache-2.0
// Attempts until the successor is active: begun, told, ended early, tried again.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "control/text.h"
#include "keeper/component.h"
#include "keeper/outcome_text.h"
#include "segue/segue.h"

namespace segue::keeper {

using control::version_text;

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// The library's own defaults, for the keeper's deadlines behind the library's.
constexpr std::uint32_t kBackgroundMs = 300'000;
constexpr std::uint32_t kRehearsalMs = 60'000;
constexpr std::uint32_t kAnswerMs = 5'000;

}  // namespace

void Component::begin_attempt(Attempt attempt) {
  attempt.began = now_;
  attempt.from = find(owner_)->label();
  attempt.from_forms = find(owner_)->forms;
  attempt_ = std::move(attempt);
  begin_try();
}

void Component::begin_try() {
  Attempt& attempt = *attempt_;
  attempt.id = ++last_attempt_;
  attempt.predecessor = owner_;
  attempt.sent.reset();
  attempt.reported_phase = attempt.furthest_phase = 0;
  attempt.from_progress = {};
  attempt.to_progress = {};
  attempt.predecessor_over = attempt.successor_over = attempt.may_pass = false;
  attempt.late = attempt.successor_killed = false;
  attempt.why.clear();
  step_attempt("attempt.begin", attempt, {{"try", fmt::to_string(attempt.tries)}});
  set_phase(Phase::preparing);
  set_deadline(milliseconds(attempt.options.start_ms));
  next_ping_ = std::min(next_ping_, now_ + ping_interval());
  attempt.successor = spawn(attempt.launch);
  attempt.to = find(attempt.successor)->label();
}

void Component::send_attempt(Instance& successor) {
  Attempt& attempt = *attempt_;
  successor.role = Role::successor;
  attempt.to = successor.label();
  attempt.sent = now_;
  set_phase(Phase::attempting);
  set_deadline(phase_limit());
  step_attempt("attempt.sent", attempt);
  command(SendAttempt{attempt.id, attempt.kind, attempt.predecessor, attempt.successor,
                      attempt.options});
  fault_point("attempt-sent");
}

// The last safety net: the instances' own deadlines come first.
base::Duration Component::phase_limit() const {
  const control::AttemptOptions& options = attempt_->options;
  const milliseconds answer(options.answer_ms.value_or(kAnswerMs));
  switch (attempt_->reported_phase) {
    case SEGUE_PHASE_BACKGROUND:
      return milliseconds(options.background_ms.value_or(kBackgroundMs)) + answer + seconds(5);
    case SEGUE_PHASE_REHEARSAL:
      return milliseconds(options.rehearsal_ms.value_or(kRehearsalMs)) + answer + seconds(5);
    default:
      return 2 * answer + seconds(5);
  }
}

void Component::on(const ProgressReceived& event) {
  Instance* instance = find_mutable(event.generation);
  if (instance == nullptr || !in_attempt() || event.attempt != attempt_->id) return;
  Attempt& attempt = *attempt_;
  // After the commit it is what was handed over: pongs say how many there are by now.
  if (event.progress.phase != SEGUE_PHASE_COMMITTED) {
    instance->connections = event.progress.connections;
  }
  // Of either side: the other one's word may still be on its way.
  if (event.progress.phase < SEGUE_PHASE_ENDED) {
    attempt.furthest_phase = std::max(attempt.furthest_phase, event.progress.phase);
  }
  if (event.generation == attempt.successor) {
    attempt.to_progress = event.progress;
  } else if (event.generation == attempt.predecessor) {
    const bool moved_on = attempt.reported_phase != event.progress.phase;
    attempt.from_progress = event.progress;
    attempt.reported_phase = event.progress.phase;
    attempt.frozen_max_ns = std::max(attempt.frozen_max_ns, event.progress.frozen_max_ns);
    if (moved_on) attempt_phase_changed();
  }
  command(ShowProgress{});
}

void Component::attempt_phase_changed() {
  const std::string_view name = attempt_phase_name(attempt_->reported_phase);
  step("attempt.phase", {{"attempt", fmt::to_string(attempt_->id)}, {"phase", std::string(name)}});
  if (phase_ != Phase::attempting) return;
  set_deadline(phase_limit());
  switch (attempt_->reported_phase) {
    case SEGUE_PHASE_BACKGROUND:
    case SEGUE_PHASE_REHEARSAL:
      fault_point(std::string(name));
      return;
    default:
      return;
  }
}

// The foreground phase; often the successor's word that it is active comes first.
void Component::said_frozen(const EventReceived& event) {
  step("frozen", {{"generation", fmt::to_string(event.generation)}});
  if (!in_attempt() || event.attempt != attempt_->id) return;
  if (phase_ == Phase::attempting) {
    attempt_->reported_phase = attempt_->furthest_phase = SEGUE_PHASE_FOREGROUND;
    set_deadline(phase_limit());
  }
  fault_point("foreground");
}

// ---- Ending early

void Component::said_failed(const EventReceived& event) {
  if (phase_ == Phase::starting) {
    const Instance* instance = find(event.generation);
    if (instance != nullptr && instance->role == Role::standby) first_instance_failed(event.text);
    return;
  }
  if (!in_attempt() || event.attempt != attempt_->id) return;
  Attempt& attempt = *attempt_;
  const bool of_successor = event.generation == attempt.successor;
  if (!of_successor && event.generation != attempt.predecessor) return;
  (of_successor ? attempt.successor_over : attempt.predecessor_over) = true;
  step("attempt.side_over", {{"attempt", fmt::to_string(attempt.id)},
                             {"generation", fmt::to_string(event.generation)},
                             {"why", event.text}});
  switch (phase_) {
    case Phase::attempting: {
      const auto status = -static_cast<std::int64_t>(event.number);
      const bool untouched = attempt.furthest_phase <= SEGUE_PHASE_MEETING;
      attempt.why = event.text;
      attempt.refused = status == SEGUE_REFUSED || (status == 0 && untouched);
      attempt.may_pass = status == SEGUE_TIMEOUT || (status == 0 && attempt.late);
      tell_abort();
      return;
    }
    case Phase::aborting:
      conclude_abort_if_over();
      return;
    case Phase::recovering:
      if (!has_candidate()) nobody_recovered(attempt.why);
      return;
    default:
      return;  // it is active: what failed is the way back, and that shows by itself
  }
}

void Component::end_attempt_early(const std::string& why, WhyEnd kind) {
  Attempt& attempt = *attempt_;
  if (phase_ == Phase::aborting) return;
  attempt.why = why;
  attempt.refused = kind == WhyEnd::refused;
  attempt.may_pass = kind == WhyEnd::may_pass;
  if (phase_ == Phase::preparing) {
    attempt.predecessor_over = true;  // it has not heard of it
    attempt.successor_over = true;
  } else if (phase_ == Phase::retrying) {
    attempt.predecessor_over = attempt.successor_over = true;
    attempt.may_pass = false;
  }
  tell_abort();
}

// Both sides hear of it; the phase lasts until both have said that it is over, or are gone.
void Component::tell_abort() {
  const Attempt& attempt = *attempt_;
  set_phase(Phase::aborting);
  set_deadline(kAbortLimit);
  for (const Generation side : {attempt.predecessor, attempt.successor}) {
    const bool over =
        side == attempt.predecessor ? attempt.predecessor_over : attempt.successor_over;
    if (!over && find(side) != nullptr) command(SendAbort{side, attempt.id, attempt.why});
  }
  conclude_abort_if_over();
}

void Component::conclude_abort_if_over() {
  const Attempt& attempt = *attempt_;
  const bool predecessor_over = attempt.predecessor_over || find(attempt.predecessor) == nullptr;
  if (find(attempt.successor) == nullptr) {
    // It was active, and died before it could say so: the predecessor takes over again.
    if (page_.owner == attempt.successor && find(attempt.predecessor) != nullptr) {
      owner_ = attempt.successor;
      enter_recovering(attempt.why);
    } else if (predecessor_over) {
      attempt_failed();
    }
  } else if (predecessor_over || attempt.successor_over) {
    end_instance(attempt.successor, EndPolicy::refused,
                 attempt.rehearsed ? SEGUE_END_REHEARSED : SEGUE_END_REFUSED, !attempt.rehearsed);
  }
}

void Component::abort_deadline_passed() {
  Attempt& attempt = *attempt_;
  if (find(attempt.successor) == nullptr || attempt.successor_killed) {
    attempt_failed();  // the predecessor does not answer; that is reported by itself
  } else if (page_.owner == attempt.successor) {
    enter_probation(attempt.to_progress.blackout_ns);  // it was faster, and its word is on its way
  } else {
    attempt.successor_killed = true;
    kill_instance(attempt.successor);
    set_deadline(kAbortLimit);
  }
}

void Component::attempt_failed() {
  Attempt& attempt = *attempt_;
  const bool again = attempt.may_pass && attempt.tries <= attempt.options.retries &&
                     attempt.undo_request == 0 && !attempt.rehearsed;
  if (again) {
    step_attempt("attempt.retry", attempt, {{"why", attempt.why}});
    set_phase(Phase::retrying);
    set_deadline(kRetryDelay * attempt.tries);
    ++attempt.tries;
    return;
  }
  if (undone_) return hand_back_failed();
  const Outcome outcome = attempt.rehearsed ? Outcome::done
                          : attempt.refused ? Outcome::refused
                                            : Outcome::failed;
  Attempt over = *std::exchange(attempt_, std::nullopt);
  over.aftermath = label_of(owner_) + " goes on";
  set_phase(Phase::serving);
  conclude(std::move(over), outcome, "");
  start_queued();
}

// ---- Deaths

void Component::exited_in_attempt(const Instance& gone, const std::string& how) {
  Attempt& attempt = *attempt_;
  if (gone.generation == attempt.carried) {
    attempt.carried = 0;
    if (phase_ == Phase::recovering && !has_candidate()) nobody_recovered(how);
  } else if (gone.generation == attempt.successor) {
    successor_exited(gone, how);
  } else if (gone.generation == attempt.predecessor) {
    predecessor_exited(how);
  }
}

void Component::successor_exited(const Instance& gone, const std::string& how) {
  Attempt& attempt = *attempt_;
  switch (phase_) {
    case Phase::preparing:
      end_attempt_early(how + " before it was ready" + output_hint(gone.generation), WhyEnd::final);
      return;
    case Phase::attempting:
      attempt.why = how + output_hint(gone.generation);
      tell_abort();
      return;
    case Phase::aborting:
      if (gone.signal != 0 && gone.end_step == 0 && !attempt.successor_killed) {
        attempt.why += fmt::format(" ({}{})", how, output_hint(gone.generation));
      }
      conclude_abort_if_over();
      return;
    case Phase::probation:
    case Phase::committing:
      enter_recovering(
          (was_silent(gone) ? version_text(attempt.to) + " stopped answering and was ended" : how) +
          output_hint(gone.generation));
      return;
    case Phase::recovering:
      if (!has_candidate()) nobody_recovered(how);
      return;
    default:
      return;
  }
}

// The predecessor ends a successor that hangs, and its end alone would not tell why.
bool Component::was_silent(const Instance& gone) const {
  const milliseconds hang(attempt_->options.hang_ms.value_or(kDefaultHangMs));
  return gone.awaits_pong && now_ - gone.first_ping >= hang / 2;
}

void Component::predecessor_exited(const std::string& how) {
  switch (phase_) {
    case Phase::preparing:
    case Phase::attempting:
    case Phase::aborting:
    case Phase::retrying:
      enter_recovering(how);
      return;
    case Phase::probation:
      commit();  // there is nothing to go back to
      return;
    case Phase::committing:
      committed();
      return;
    case Phase::recovering:
      // One that had said that it ends tells nothing by ending.
      if (!has_candidate()) nobody_recovered(attempt_->predecessor_over ? attempt_->why : how);
      return;
    default:
      return;
  }
}

}  // namespace segue::keeper
