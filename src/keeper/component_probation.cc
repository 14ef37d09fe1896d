// SPDX-License-Identifier: Apache-2.0
// Attempts from the activation on: probation, commit, going back, and deaths of the owner.
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

// What the predecessor says of itself with RESUMED.
std::string_view how_it_goes_on(std::string_view how) {
  if (how == "replayed") return " serves again, and has done again what was done meanwhile";
  if (how == "arenas") return " serves again, with its arenas as they were left";
  return " serves again, as it was when it was frozen";
}

std::string closed_text(std::uint64_t closed) {
  return closed == 0 ? "" : fmt::format("; {} closed", control::counted(closed, "connection"));
}

}  // namespace

void Component::said_activated(const EventReceived& event) {
  Instance* instance = find_mutable(event.generation);
  if (instance == nullptr) return;
  if (phase_ == Phase::starting && instance->role == Role::standby) {
    return first_owner_activated(*instance);
  }
  if (!in_attempt() || event.attempt != attempt_->id || event.generation != attempt_->successor) {
    return;
  }
  if (phase_ == Phase::attempting || phase_ == Phase::aborting || phase_ == Phase::recovering) {
    enter_probation(event.number);
  }
}

void Component::said_rehearsed(const EventReceived& event) {
  if (!in_attempt() || event.attempt != attempt_->id) return;
  step("attempt.rehearsed", {{"attempt", fmt::to_string(event.attempt)},
                             {"generation", fmt::to_string(event.generation)}});
  if (attempt_->kind != Kind::rehearse || phase_ != Phase::attempting) return;
  attempt_->rehearsed = true;
  attempt_->predecessor_over = attempt_->successor_over = true;
  tell_abort();
}

void Component::said_vote(const EventReceived& event) {
  if (!in_attempt() || event.attempt != attempt_->id || event.generation != attempt_->successor) {
    return;
  }
  Attempt& attempt = *attempt_;
  attempt.vote = event.number != 0 ? Verdict::good : Verdict::bad;
  step("attempt.vote", {{"attempt", fmt::to_string(attempt.id)},
                        {"good", event.number != 0 ? "1" : "0"},
                        {"why", event.text}});
  if (phase_ != Phase::probation) return;
  if (attempt.vote == Verdict::good) return review_probation();
  hand_back(event.text.empty() ? version_text(attempt.to) + " voted against itself"
                               : version_text(attempt.to) + " voted against itself: " + event.text,
            0, automatic_undo_options());
}

// ---- Probation

void Component::enter_probation(std::uint64_t blackout_ns) {
  Attempt& attempt = *attempt_;
  if (phase_ == Phase::aborting) {  // too late: what was to end it is no reason any more
    attempt.why.clear();
    attempt.refused = attempt.may_pass = false;
  }
  attempt.activated = now_;
  attempt.blackout_ns = blackout_ns;
  attempt.next_health = now_;
  owner_ = attempt.successor;
  Instance& successor = *find_mutable(attempt.successor);
  successor.role = Role::serving;
  successor.active_since = now_;
  Instance* predecessor = find_mutable(attempt.predecessor);
  if (predecessor != nullptr) predecessor->role = Role::frozen;
  step_attempt("attempt.activated", attempt, {{"blackout_ns", fmt::to_string(blackout_ns)}});
  fault_point("activated");
  if (attempt.carried != 0) {
    end_instance(std::exchange(attempt.carried, 0), EndPolicy::committed, SEGUE_END_COMMITTED,
                 true);
  }
  set_phase(Phase::probation);
  fault_point("probation");
  if (predecessor == nullptr) return commit();
  if (attempt.undo_request != 0) {
    return hand_back("the operator undid it", std::exchange(attempt.undo_request, 0),
                     automatic_undo_options());
  }
  if (attempt.vote == Verdict::bad) {
    return hand_back(version_text(attempt.to) + " voted against itself", 0,
                     automatic_undo_options());
  }
  review_probation();
}

void Component::review_probation() {
  Attempt& attempt = *attempt_;
  const control::AttemptOptions& options = attempt.options;
  const MonotonicTime end = *attempt.activated + milliseconds(options.probation_ms);
  const bool checks = has_health_checks(options);
  if (checks && !attempt.health_running && now_ >= attempt.next_health) {
    attempt.health_running = true;
    command(CheckHealth{attempt.id, options});
  }
  deadline_ = end;
  if (now_ < end) {
    if (checks && !attempt.health_running) deadline_ = std::min(end, attempt.next_health);
    return;
  }
  if (checks && (attempt.health_running || attempt.health != Verdict::good)) {
    // The check itself has a time limit; its answer is waited for.
    deadline_ = attempt.health_running
                    ? now_ + milliseconds(2 * options.health_timeout_ms) + kRecoverMargin
                    : attempt.next_health;
    return;
  }
  if (options.vote && attempt.vote != Verdict::good) {
    deadline_ = end + kVoteLimit;
    if (now_ >= *deadline_)
      hand_back(version_text(attempt.to) + " never voted for itself", 0, automatic_undo_options());
    return;
  }
  if (const Instance* successor = find(attempt.successor); successor->hung) {
    deadline_ = now_ + kPingInterval;  // the predecessor ends it, or it answers again
    return;
  }
  commit();
}

void Component::on(const HealthChecked& event) {
  if (!in_attempt() || event.attempt != attempt_->id || phase_ != Phase::probation) return;
  Attempt& attempt = *attempt_;
  attempt.health_running = false;
  attempt.next_health = now_ + kHealthInterval;
  attempt.health = event.good ? Verdict::good : Verdict::bad;
  attempt.health_failures = event.good ? 0 : attempt.health_failures + 1;
  step("attempt.health", {{"attempt", fmt::to_string(attempt.id)},
                          {"good", event.good ? "1" : "0"},
                          {"text", event.text}});
  if (attempt.health_failures > kHealthFailuresAllowed) {
    return hand_back("the health check failed: " + event.text, 0, automatic_undo_options());
  }
  review_probation();
}

// ---- Commit

void Component::commit() {
  set_phase(Phase::committing);
  const milliseconds hang(attempt_->options.hang_ms.value_or(kDefaultHangMs));
  set_deadline(std::max(kCommitLimit, hang + kRecoverMargin));
  step_attempt("attempt.commit", *attempt_);
  fault_point("commit");
  command(SendCommit{attempt_->successor, attempt_->id});
}

// Either K_COMMIT was lost, or the predecessor does not answer the successor.
void Component::commit_deadline_passed() {
  Attempt& attempt = *attempt_;
  const Instance* successor = find(attempt.successor);
  const bool answers = successor != nullptr && successor->last_pong &&
                       now_ - *successor->last_pong <= kAnswersWithin &&
                       page_.owner == attempt.successor;
  const milliseconds hang(attempt.options.hang_ms.value_or(kDefaultHangMs));
  set_deadline(std::max(kCommitLimit, hang + kRecoverMargin));
  if (!attempt.commit_repeated || !answers) {
    attempt.commit_repeated = true;
    step("attempt.commit_repeated", {{"attempt", fmt::to_string(attempt.id)}});
    command(SendCommit{attempt.successor, attempt.id});
    return;
  }
  end_instance(attempt.predecessor, EndPolicy::refused, SEGUE_END_COMMITTED, true);
  committed();
}

void Component::said_committed(const EventReceived& event) {
  if (undone_ && event.attempt == undone_->id) {
    // The owner committed what is being undone, because it had not heard from the keeper.
    undone_->committed_unasked = true;
    end_instance(std::exchange(attempt_->carried, 0), EndPolicy::committed, 0, false);
    return;
  }
  if (!in_attempt() || event.attempt != attempt_->id || page_.owner != attempt_->successor ||
      find(attempt_->successor) == nullptr) {
    return;
  }
  if (!attempt_->activated) enter_probation(attempt_->to_progress.blackout_ns);
  if (phase_ == Phase::probation) {
    step("attempt.committed_unasked", {{"attempt", fmt::to_string(event.attempt)}});
  }
  if (phase_ == Phase::probation || phase_ == Phase::committing) committed();
}

void Component::committed() {
  Attempt done = *std::exchange(attempt_, std::nullopt);
  std::optional<Attempt> undone = std::exchange(undone_, std::nullopt);
  done.committed = now_;
  if (done.kind != Kind::undo) {
    previous_.push_back({owner_launch_, done.from, done.from_forms});
    if (previous_.size() > kMaxPrevious) previous_.pop_front();
  } else if (!undone) {
    previous_.pop_back();
  }
  owner_launch_ = done.launch;
  restarts_in_row_ = 0;
  active_long_enough_ = false;
  const Instance* predecessor = find(done.predecessor);
  if (predecessor != nullptr && predecessor->role != Role::ending) {
    end_instance(done.predecessor, EndPolicy::committed, SEGUE_END_COMMITTED, false);
  }
  done.aftermath = label_of(owner_) + " serves";
  set_phase(Phase::serving);
  if (undone) {
    undone->aftermath = label_of(owner_) + " serves again";
    conclude(*std::move(undone), Outcome::undone, "");
  }
  step_attempt("attempt.committed", done);
  closing_.push_back({std::move(done), now_ + kGoneLimit, false});
  if (predecessor == nullptr) predecessor_gone(closing_.back().attempt.predecessor);
  start_queued();
}

// ---- Going back

control::AttemptOptions Component::automatic_undo_options() {
  control::AttemptOptions options;
  options.probation_ms = 0;  // it goes back to what is known to work
  return options;
}

void Component::hand_back(const std::string& why, RequestId undo_request,
                          const control::AttemptOptions& options) {
  if (undone_) {
    step("hand_back.refused", {{"why", why}});  // what is handed back to is not handed back again
    return;
  }
  Attempt base = *std::exchange(attempt_, std::nullopt);
  base.why = why;
  const Instance* predecessor = find(base.predecessor);
  Attempt back;
  back.kind = Kind::undo;
  back.request = undo_request;
  back.launch = predecessor != nullptr ? predecessor->launch : owner_launch_;
  back.carried = predecessor != nullptr ? base.predecessor : 0;
  back.options = options;
  back.options.retries = std::max(options.retries, kUndoRetries);
  back.options.vote = false;
  const auto inherit = [&](auto member) {
    if (!(back.options.*member)) back.options.*member = base.options.*member;
  };
  inherit(&control::AttemptOptions::budget_us);
  inherit(&control::AttemptOptions::background_ms);
  inherit(&control::AttemptOptions::rehearsal_ms);
  inherit(&control::AttemptOptions::answer_ms);
  inherit(&control::AttemptOptions::hang_ms);
  back.options.relay = base.options.relay;
  step_attempt("attempt.hand_back", base, {{"why", why}});
  undone_ = std::move(base);
  begin_attempt(std::move(back));
}

// The present owner cannot hand its state back, and only it has the newest: it stays.
void Component::hand_back_failed() {
  Attempt failed = *std::exchange(attempt_, std::nullopt);
  Attempt base = *std::exchange(undone_, std::nullopt);
  base.hand_back_failed = true;
  base.why += "; handing back failed: " + failed.why;
  failed.aftermath = label_of(owner_) + " serves on";
  base.aftermath = failed.aftermath;
  const bool is_committed = base.committed_unasked;
  attempt_ = std::move(base);
  if (is_committed) {
    committed();
  } else {
    commit();
  }
  conclude(std::move(failed), Outcome::failed, "");
}

void Component::said_resumed(const EventReceived& event) {
  step("resumed", {{"generation", fmt::to_string(event.generation)},
                   {"reason", fmt::to_string(event.number)}});
  if (!in_attempt() || find(event.generation) == nullptr) return;
  Attempt& attempt = *attempt_;
  if (event.number != SEGUE_RESUME_RECLAIMED) {
    if (event.attempt == attempt.id && event.number == SEGUE_RESUME_LATE) attempt.late = true;
    return;
  }
  switch (phase_) {
    case Phase::preparing:
    case Phase::attempting:
    case Phase::aborting:
    case Phase::retrying:
    case Phase::probation:
    case Phase::committing:
    case Phase::recovering:
      if (event.generation == attempt.carried ||
          (event.generation == attempt.predecessor && attempt.sent)) {
        reclaimed(event.generation, event.text);
      }
      return;
    default:
      return;
  }
}

// `generation`, frozen until now, serves again, because who served after it died or hung.
void Component::reclaimed(Generation generation, const std::string& how) {
  Attempt attempt = *std::exchange(attempt_, std::nullopt);
  std::optional<Attempt> undone = std::exchange(undone_, std::nullopt);
  const std::string& lost = attempt.carried == generation ? attempt.from : attempt.to;
  const std::string why = attempt.why.empty() ? version_text(lost) + " died or hung" : attempt.why;
  for (const Generation other : {attempt.predecessor, attempt.successor, attempt.carried}) {
    if (other != 0 && other != generation && find(other) != nullptr) kill_instance(other);
  }
  owner_ = generation;
  Instance& owner = *find_mutable(generation);
  owner.role = Role::serving;
  owner.active_since = now_;
  set_phase(Phase::serving);
  const std::string again =
      version_text(owner.label()) + std::string(how_it_goes_on(how)) +
      closed_text(attempt.carried == generation ? 0 : attempt.from_progress.closed_on_reclaim);
  attempt.aftermath = again;
  if (undone && attempt.carried == generation) {
    // Undone, though not by a handoff.
    undone->aftermath = again;
    undone->why += "; " + why;
    conclude(std::move(attempt), Outcome::done, why);
    conclude(*std::move(undone), Outcome::undone, "");
  } else {
    if (undone) {
      // The way back is lost, and what was to be undone stays.
      previous_.push_back({owner_launch_, undone->from, undone->from_forms});
      owner_launch_ = undone->launch;
      undone->aftermath = again;
      undone->hand_back_failed = true;
      conclude(*std::move(undone), Outcome::failed, "");
    }
    conclude(std::move(attempt), Outcome::undone, why);
  }
  start_queued();
}

// ---- The owner is dead while others may take over

bool Component::has_candidate() const {
  const Attempt& attempt = *attempt_;
  const auto alive = [&](Generation generation) {
    return generation != 0 && generation != owner_ && find(generation) != nullptr;
  };
  const bool successor = alive(attempt.successor) && attempt.sent && !attempt.successor_over;
  const bool predecessor = alive(attempt.predecessor) && owner_ == attempt.successor;
  return successor || predecessor || alive(attempt.carried);
}

void Component::enter_recovering(const std::string& how) {
  attempt_->why = how;
  if (!has_candidate()) return nobody_recovered(how);
  step_attempt("owner.lost_in_attempt", *attempt_, {{"how", how}});
  set_phase(Phase::recovering);
  set_deadline(milliseconds(attempt_->options.hang_ms.value_or(kDefaultHangMs)) + kRecoverMargin);
}

void Component::nobody_recovered(const std::string& why) {
  for (const auto& [generation, instance] : instances_) {
    if (instance.role != Role::ending) kill_instance(generation);
  }
  for (auto* side : {&attempt_, &undone_}) {
    if (!*side) continue;
    Attempt attempt = *std::exchange(*side, std::nullopt);
    attempt.aftermath = "it is started again, without its state" +
                        closed_text(attempt.from_progress.closed_on_reclaim);
    conclude(std::move(attempt), Outcome::failed, why);
  }
  owner_lost(why);
}

}  // namespace segue::keeper
