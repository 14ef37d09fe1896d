// SPDX-License-Identifier: Apache-2.0
#include "keeper/decider.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "control/text.h"
#include "keeper/outcome_text.h"

namespace segue::keeper {

using control::ExitCode;

Commands Decider::handle(const Event& event, const Ownership& page, MonotonicTime now) {
  now_ = now;
  page_ = page;
  commands_.clear();
  dispatch(event);
  return std::exchange(commands_, {});
}

const Instance* Decider::find(Generation generation) const {
  const auto found = instances_.find(generation);
  return found == instances_.end() ? nullptr : &found->second;
}

void Decider::refuse(RequestId request, const std::string& what, const std::string& why) {
  finish(request, ExitCode::refused, fmt::format("{} {}: {}", settings_.name, what, why));
}

std::string Decider::busy_text() const {
  switch (phase_) {
    case Phase::idle:
    case Phase::starting:
      return "it is starting: wait until it serves";
    case Phase::backoff:
      return "it crashed and is being started again: wait until it serves";
    case Phase::stopping:
    case Phase::stopped:
      return "it is being stopped";
    case Phase::serving:
      return "it serves";
    default:
      break;
  }
  const auto since = std::chrono::duration_cast<base::Duration>(now_ - attempt_->began);
  return fmt::format(
      "{} {} ({}) has been under way for {} ({})",
      attempt_->kind == Kind::upgrade ? "upgrade" : "the " + std::string(to_string(attempt_->kind)),
      attempt_->id, from_to_text(*attempt_),
      control::seconds_text(static_cast<std::uint64_t>(since.count())),
      phase_ == Phase::attempting ? attempt_phase_name(attempt_->reported_phase)
                                  : to_string(phase_));
}

void Decider::enqueue_or_refuse(const Request& request, bool may_wait) {
  const bool is_undo = std::holds_alternative<UndoRequested>(request);
  const RequestId id = std::visit([](const auto& typed) { return typed.request; }, request);
  const std::string what = is_undo ? "was not handed back"
                           : std::get<UpgradeRequested>(request).kind == Kind::rehearse
                               ? "was not rehearsed"
                               : "was not upgraded";
  if (phase_ == Phase::stopping || phase_ == Phase::stopped) {
    refuse(id, what, busy_text());
  } else if (!may_wait) {
    refuse(id, what, busy_text() + (in_attempt() ? ". Wait for it, undo it, or add --queue" : ""));
  } else if (queued_) {
    refuse(id, what, busy_text() + ", and another one waits already: only one can");
  } else {
    queued_ = request;
    step("request.queued", {{"behind", busy_text()}});
    command(ShowQueued{id, busy_text()});
  }
}

void Decider::start_queued() {
  if (!queued_ || phase_ != Phase::serving) return;
  const Request request = *std::exchange(queued_, std::nullopt);
  dispatch(std::visit([](const auto& typed) { return Event(typed); }, request));
}

std::optional<Attempt> Decider::undo_attempt(const UndoRequested& event) {
  if (previous_.empty()) {
    refuse(event.request, "was not handed back",
           fmt::format("there is nothing to go back to: this keeper has not upgraded it from "
                       "anything to {}",
                       label_of(owner_)));
    return std::nullopt;
  }
  Attempt attempt;
  attempt.kind = Kind::undo;
  attempt.request = event.request;
  attempt.launch = previous_.back().launch;
  attempt.options = event.options;
  attempt.losses = event.losses;
  return attempt;
}

Instance* Decider::find_mutable(Generation generation) {
  const auto found = instances_.find(generation);
  return found == instances_.end() ? nullptr : &found->second;
}

Generation Decider::spawn(const control::Launch& launch) {
  const Generation generation = ++last_generation_;
  Instance instance;
  instance.generation = generation;
  instance.launch = launch;
  instance.spawned = now_;
  if (instances_.empty()) next_ping_ = now_ + kPingInterval;
  instances_.emplace(generation, std::move(instance));
  fault_point("spawn");
  step("instance.spawn",
       {{"generation", fmt::to_string(generation)}, {"program", launch.argv.front()}});
  command(Spawn{generation, launch});
  return generation;
}

void Decider::restart_later(const std::string& why) {
  if (active_long_enough_) restarts_in_row_ = 0;
  active_long_enough_ = false;
  if (restarts_in_row_ >= settings_.run.max_restarts) {
    give_up(fmt::format("{} after {} restarts in a row", why, restarts_in_row_));
    return;
  }
  const base::Duration delay =
      std::min(kMaxBackoff, kFirstBackoff * (std::int64_t{1} << std::min(restarts_in_row_, 10U)));
  ++restarts_in_row_;
  step("restart.wait", {{"why", why},
                        {"restart", fmt::to_string(restarts_in_row_)},
                        {"delay_ms", fmt::to_string(delay / std::chrono::milliseconds(1))}});
  set_phase(Phase::backoff);
  set_deadline(delay);
}

void Decider::give_up(const std::string& why) {
  step("restart.given_up", {{"why", why}}, true);
  leave_with_ = ExitCode::failed;
  stop_now("it was given up: " + why);
}

// Writes it down and answers whoever waits.
void Decider::conclude(Attempt attempt, Outcome outcome, const std::string& why) {
  attempt.outcome = outcome;
  attempt.ended = now_;
  if (!why.empty()) attempt.why = why;
  step_attempt("attempt.end", attempt,
               {{"outcome", std::string(to_string(outcome))}, {"why", attempt.why}});
  command(Record{attempt});
  const RequestId undo_request = std::exchange(attempt.undo_request, 0);
  const RequestId request = std::exchange(attempt.request, 0);
  finish(request, exit_code_of(attempt), outcome_text(settings_.name, attempt), attempt);
  if (undo_request == 0) return;
  if (outcome == Outcome::done) {
    finish(undo_request, control::ExitCode::failed,
           fmt::format("{} was not handed back: {}", settings_.name, attempt.aftermath));
  } else {
    finish(undo_request, control::ExitCode::done,
           fmt::format("{} {} was ended before it was active; {}", settings_.name,
                       from_to_text(attempt), attempt.aftermath));
  }
}

// The committed predecessor is gone, or it takes too long to wait for.
void Decider::predecessor_gone(Generation generation) {
  for (auto closing = closing_.begin(); closing != closing_.end(); ++closing) {
    Attempt& attempt = closing->attempt;
    if (attempt.predecessor != generation) continue;
    attempt.predecessor_gone = now_ - *attempt.committed;
    step("predecessor.gone",
         {{"generation", fmt::to_string(generation)},
          {"after",
           control::seconds_text(static_cast<std::uint64_t>(attempt.predecessor_gone->count()))}});
    if (!closing->answered) answer(*closing);
    closing_.erase(closing);
    return;
  }
}

void Decider::answer_closing() {
  for (auto& closing : closing_) {
    if (!closing.answered && now_ >= closing.answer_at) answer(closing);
  }
}

void Decider::answer(Closing& closing) {
  closing.answered = true;
  conclude(closing.attempt, closing.attempt.hand_back_failed ? Outcome::failed : Outcome::done, "");
}

void Decider::set_phase(Phase phase) {
  if (phase != phase_) phase_since_ = now_;
  phase_ = phase;
  deadline_.reset();
  command(ShowProgress{});
}

void Decider::step(std::string name, Step::Fields fields, bool decisive) {
  command(Step{std::move(name), std::move(fields), decisive});
}

void Decider::step_attempt(std::string name, const Attempt& attempt, Step::Fields fields) {
  fields.insert(fields.begin(), {{"attempt", fmt::to_string(attempt.id)},
                                 {"kind", std::string(to_string(attempt.kind))},
                                 {"from", attempt.from},
                                 {"to", attempt.to}});
  step(std::move(name), std::move(fields), true);
}

void Decider::finish(RequestId request, ExitCode exit, std::string text,
                     std::optional<Attempt> attempt) {
  if (request != 0) command(Finish{request, exit, std::move(text), std::move(attempt)});
}

std::string Decider::label_of(Generation generation) const {
  const Instance* instance = find(generation);
  return instance != nullptr ? control::version_text(instance->label())
                             : fmt::format("generation {}", generation);
}

std::string Decider::output_hint(Generation generation) const {
  if (settings_.output_prefix.empty()) return "";
  return fmt::format("; its output is in {}{}.log", settings_.output_prefix, generation);
}

void Decider::abandon_requests(const std::string& why) {
  if (queued_) {
    const RequestId id = std::visit([](const auto& typed) { return typed.request; }, *queued_);
    queued_.reset();
    refuse(id, "was not changed", why);
  }
  if (run_request_ != 0) {
    finish(std::exchange(run_request_, 0), ExitCode::failed,
           fmt::format("{} was not started: {}", settings_.name, why));
  }
}

void Decider::leave() {
  set_phase(Phase::stopped);
  step("stopped", {}, true);
  for (const RequestId request : std::exchange(stop_requests_, {})) {
    finish(request, ExitCode::done, settings_.name + " is stopped");
  }
  command(Leave{leave_with_});
}

}  // namespace segue::keeper
