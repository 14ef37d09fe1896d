// SPDX-License-Identifier: Apache-2.0
// Upgrades of programs that do not link libsegue, and the ways back.
#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "control/text.h"
#include "keeper/contract/program_component.h"
#include "keeper/outcome_text.h"
#include "segue/segue.h"

namespace segue::keeper {

using control::Contract;
using control::ExitCode;
using control::version_text;
using std::chrono::milliseconds;

namespace {

constexpr base::Duration kMaxAnswer =
    std::chrono::seconds(90);  // then it is said what still drains
constexpr base::Duration kAnswerMargin = std::chrono::seconds(5);

int signal_of(const std::string& name, int otherwise) {
  return name.empty() ? otherwise : control::parse_signal(name).value_or(otherwise);
}

}  // namespace

bool ProgramComponent::side_by_side() const {
  return contract_ == Contract::listeners || contract_ == Contract::signal;
}

// ---- Until the successor is ready

void ProgramComponent::begin(Attempt attempt) {
  attempt.began = now_;
  attempt.id = ++last_attempt_;
  attempt.contract = contract_;
  attempt.holds_sockets = !settings_.contract.listen.empty();
  attempt.drain_limit = drain_limit();
  attempt.predecessor = owner_;
  if (const Instance* owner = find(owner_)) attempt.from = owner->label();
  attempt_ = std::move(attempt);
  step_attempt("attempt.begin", *attempt_, {{"contract", std::string(to_string(contract_))}});
  if (contract_ == Contract::signal) {
    set_phase(Phase::preparing);
    set_deadline(milliseconds(attempt_->options.start_ms));
    command(ProgramOrder{owner_, ProgramOrder::PlaceBinary{attempt_->launch}});
    sides_[owner_].next_look = now_ + kLookInterval;
    sides_[owner_].reloading = false;
    command(Signal{owner_, signal_of(settings_.contract.upgrade_signal, SIGUSR2)});
  } else if (contract_ == Contract::listeners || find(owner_) == nullptr) {
    stopped_at_ = now_;
    start_successor();
  } else {
    set_phase(Phase::attempting);
    attempt_->reported_phase = SEGUE_PHASE_FOREGROUND;
    stopped_at_ = now_;
    begin_leaving(owner_, drain_limit(), stop_signal_);
  }
}

void ProgramComponent::start_successor() {
  set_phase(Phase::preparing);
  set_deadline(milliseconds(attempt_->options.start_ms));
  attempt_->successor = start(attempt_->launch);
  attempt_->to = find(attempt_->successor)->label();
}

void ProgramComponent::successor_ready() {
  Attempt& attempt = *attempt_;
  attempt.activated = now_;
  if (!side_by_side()) {
    attempt.blackout_ns = static_cast<std::uint64_t>((now_ - stopped_at_).count());
  }
  owner_ = attempt.successor;
  Instance& successor = *find_mutable(attempt.successor);
  successor.role = Role::serving;
  successor.active_since = now_;
  attempt.next_health = now_;
  step_attempt("attempt.activated", attempt);
  fault_point("activated");
  set_phase(Phase::probation);
  const std::string& retire = settings_.contract.retire_signal;
  if (!retire.empty() && find(attempt.predecessor) != nullptr) {
    command(Signal{attempt.predecessor, signal_of(retire, SIGWINCH)});
  }
  fault_point("probation");
  review_probation();
}

// ---- Probation

control::AttemptOptions ProgramComponent::checks() const {
  const bool of_attempt = in_attempt() && has_health_checks(attempt_->options);
  return of_attempt ? attempt_->options : settings_.health;
}

void ProgramComponent::check_health(Generation generation) {
  if (health_running_) return;
  health_running_ = true;
  command(CheckHealth{in_attempt() ? attempt_->id : 0, checks(), generation});
}

void ProgramComponent::review_probation() {
  Attempt& attempt = *attempt_;
  const MonotonicTime end = *attempt.activated + milliseconds(attempt.options.probation_ms);
  const bool checked = has_health_checks(checks()) && attempt.kind != Kind::undo;
  if (checked && now_ >= attempt.next_health) check_health(attempt.successor);
  if (checked && attempt.health != Verdict::good && now_ >= end) {
    deadline_ = now_ + kHealthInterval;  // each check has its own limit
    return;
  }
  if (now_ >= end) return commit();
  deadline_ = checked && !health_running_ ? std::min(end, attempt.next_health) : end;
}

void ProgramComponent::on(const HealthChecked& event) {
  health_running_ = false;
  if (event.attempt != (in_attempt() ? attempt_->id : 0)) return;
  step("health", {{"good", event.good ? "1" : "0"}, {"text", event.text}});
  if (phase_ == Phase::starting || phase_ == Phase::preparing) {
    const Generation generation = phase_ == Phase::starting ? starting_ : attempt_->successor;
    if (find(generation) == nullptr) return;
    sides_[generation].healthy = event.good;
    return review_ready(generation);
  }
  if (phase_ != Phase::probation) return;
  Attempt& attempt = *attempt_;
  attempt.next_health = now_ + kHealthInterval;
  attempt.health = event.good ? Verdict::good : Verdict::bad;
  attempt.health_failures = event.good ? 0 : attempt.health_failures + 1;
  if (attempt.health_failures > kHealthFailuresAllowed) {
    return go_back("the health check failed: " + event.text, 0);
  }
  review_probation();
}

// ---- Commit

void ProgramComponent::commit() {
  Attempt done = *std::exchange(attempt_, std::nullopt);
  std::optional<Attempt> undone = std::exchange(undone_, std::nullopt);
  fault_point("commit");
  done.committed = now_;
  if (done.kind != Kind::undo) {
    previous_.push_back({owner_launch_, done.from});
    if (previous_.size() > kMaxPrevious) previous_.pop_front();
  } else if (!undone) {
    previous_.pop_back();
  }
  owner_launch_ = done.launch;
  restarts_in_row_ = 0;
  done.aftermath = label_of(owner_) + " serves";
  const bool predecessor_runs = find(done.predecessor) != nullptr;
  step_attempt("attempt.committed", done);
  set_phase(Phase::serving);
  if (undone) {
    undone->aftermath = label_of(owner_) + " serves again";
    const Outcome outcome = undone->activated ? Outcome::undone : Outcome::failed;
    conclude(*std::move(undone), outcome, "");
  }
  if (predecessor_runs) {
    const base::Duration limit = drain_limit();
    begin_leaving(done.predecessor, limit, signal_of(settings_.contract.then_signal, stop_signal_));
    closing_.push_back(
        {std::move(done), now_ + std::min(limit + kAnswerMargin, kMaxAnswer), false});
  } else {
    conclude(std::move(done), Outcome::done, "");
  }
  start_queued();
}

// What an ended predecessor's connections came to.
void ProgramComponent::predecessor_left(const Instance& gone, const Side& side) {
  const std::uint64_t cut = side.cut + side.left;
  const auto note = [&](Attempt& attempt) {
    attempt.cut = cut;
    attempt.kept = side.kept;
    attempt.drained = side.at_stop > cut ? side.at_stop - cut : 0;
    attempt.at_limit = side.was_limit;
  };
  if (in_attempt() && attempt_->predecessor == gone.generation) note(*attempt_);
  for (auto& closing : closing_) {
    if (closing.attempt.predecessor == gone.generation) note(closing.attempt);
  }
  predecessor_gone(gone.generation);
}

// ---- Going back

void ProgramComponent::go_back(const std::string& why, RequestId undo_request) {
  if (undone_) return end_unsuccessful(why);
  step_attempt("attempt.hand_back", *attempt_, {{"why", why}});
  attempt_->why = why;
  const Generation successor = attempt_->successor;
  const bool predecessor_serves = side_by_side() && find(attempt_->predecessor) != nullptr;
  if (!predecessor_serves) {
    if (side_by_side() && find(successor) == nullptr) return end_unsuccessful(why);
    Attempt back;
    back.kind = Kind::undo;
    back.request = undo_request;
    back.launch = owner_launch_;
    back.options.probation_ms = 0;  // it goes back to what is known to work
    back.options.start_ms = attempt_->options.start_ms;
    if (find(successor) != nullptr) owner_ = successor;
    undone_ = std::exchange(attempt_, std::nullopt);
    return begin(std::move(back));
  }
  Attempt over = *std::exchange(attempt_, std::nullopt);
  if (find(successor) != nullptr) {
    begin_leaving(successor, drain_limit(), stop_signal_);
  }
  owner_ = over.predecessor;
  const std::string& resume = settings_.contract.resume_signal;
  if (over.activated && !resume.empty()) command(Signal{owner_, signal_of(resume, SIGHUP)});
  over.aftermath = label_of(owner_) + " goes on";
  set_phase(Phase::serving);
  const std::string text =
      fmt::format("{} {} was handed back: {}", settings_.name, from_to_text(over), over.aftermath);
  const Outcome outcome = over.activated ? Outcome::undone : Outcome::failed;
  conclude(std::move(over), outcome, "");
  finish(undo_request, ExitCode::done, text);
  start_queued();
}

// Neither the new program nor the old one serves: the old one is started until it does.
void ProgramComponent::end_unsuccessful(const std::string& why) {
  for (auto* side : {&attempt_, &undone_}) {
    if (!*side) continue;
    Attempt attempt = *std::exchange(*side, std::nullopt);
    for (const Generation side_of_it : {attempt.predecessor, attempt.successor}) {
      if (find(side_of_it) != nullptr) kill(side_of_it);
    }
    if (attempt.why.empty()) attempt.why = why;
    attempt.aftermath =
        version_text(owner_launch_.argv.front()) + " is started again until it serves";
    conclude(std::move(attempt), Outcome::failed, "");
  }
  restart_later(why);
}

void ProgramComponent::exited_in_attempt(const Instance& gone, const Side& /*side*/,
                                         const std::string& how) {
  Attempt& attempt = *attempt_;
  const std::string hint = output_hint(gone.generation);
  if (phase_ == Phase::attempting) {
    if (gone.generation == attempt.predecessor) start_successor();
  } else if (gone.generation == attempt.successor) {
    go_back(how + (phase_ == Phase::preparing ? " before it was ready" : "") + hint, 0);
  } else if (gone.generation == attempt.predecessor && attempt.successor == 0) {
    end_unsuccessful(how + " instead of starting its new binary" + hint);
  }
  // Else the predecessor ended too early, and the successor takes over all the same.
}

}  // namespace segue::keeper
