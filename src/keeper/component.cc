// SPDX-License-Identifier: Apache-2.0
#include "keeper/component.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "control/text.h"
#include "keeper/outcome_text.h"

namespace segue::keeper {

using control::ExitCode;

MonotonicTime Component::next_deadline() const {
  MonotonicTime next = MonotonicTime::max();
  const auto consider = [&](MonotonicTime time) { next = std::min(next, time); };
  if (deadline_) consider(*deadline_);
  if (!instances_.empty()) consider(next_ping_);
  for (const auto& [generation, instance] : instances_) {
    if (const auto due = next_end_step(instance, settings_.run)) consider(*due);
  }
  for (const auto& closing : closing_) {
    if (!closing.answered) consider(closing.answer_at);
  }
  if (const auto timeout = request_timeout()) consider(*timeout);
  return next;
}

// ---- Requests

void Component::on(const RunRequested& event) {
  if (phase_ != Phase::idle) {
    refuse(event.request, "was not started", "it runs already; to change its program, upgrade it");
    return;
  }
  run_request_ = event.request;
  owner_launch_ = event.launch;
  step("run", {{"program", event.launch.argv.front()}}, true);
  set_phase(Phase::starting);
  set_deadline(std::chrono::milliseconds(settings_.run.start_ms));
  starting_ = spawn(event.launch);
}

void Component::on(const UpgradeRequested& event) {
  if (eject_request_ != 0) return refuse(event.request, "was not changed", "it is being ejected");
  if (phase_ != Phase::serving) {
    enqueue_or_refuse(event, event.options.queue);
    return;
  }
  Attempt attempt;
  attempt.kind = event.kind;
  attempt.request = event.request;
  attempt.launch = event.launch;
  attempt.options = event.options;
  begin_attempt(std::move(attempt));
}

void Component::on(const UndoRequested& event) {
  if (eject_request_ != 0) return refuse(event.request, "was not changed", "it is being ejected");
  switch (phase_) {
    case Phase::serving:
      if (auto attempt = undo_attempt(event)) begin_attempt(*std::move(attempt));
      return;
    case Phase::preparing:
    case Phase::attempting:
    case Phase::aborting:
    case Phase::retrying:
      if (attempt_->kind == Kind::undo || attempt_->undo_request != 0) break;
      attempt_->undo_request = event.request;
      end_attempt_early("it was undone before it was active", WhyEnd::final);
      return;
    case Phase::probation:
      if (attempt_->kind == Kind::undo) break;
      hand_back("the operator undid it", event.request, event.options);
      if (in_attempt()) attempt_->losses = event.losses;
      return;
    case Phase::committing:
      enqueue_or_refuse(event, true);
      return;
    case Phase::idle:
    case Phase::starting:
    case Phase::backoff:
    case Phase::recovering:
    case Phase::stopping:
    case Phase::stopped:
      break;
  }
  refuse(event.request, "was not handed back", busy_text());
}

void Component::on(const StopRequested& event) {
  if (phase_ == Phase::stopped) {
    return finish(event.request, ExitCode::done, settings_.name + " is stopped");
  }
  if (event.request != 0) stop_requests_.push_back(event.request);
  if (phase_ == Phase::stopping) return;
  step("stop", {{"phase", std::string(to_string(phase_))}}, true);
  stop_now("the component was stopped");
}

// ---- What instances say

void Component::on(const EventReceived& event) {
  switch (event.said) {
    case Said::activated:
      said_activated(event);
      return;
    case Said::resumed:
      said_resumed(event);
      return;
    case Said::failed:
      said_failed(event);
      return;
    case Said::rehearsed:
      said_rehearsed(event);
      return;
    case Said::committed:
      said_committed(event);
      return;
    case Said::vote:
      said_vote(event);
      return;
    case Said::round_begun:
      step("round.begun", {{"generation", fmt::to_string(event.generation)},
                           {"round", fmt::to_string(event.number)}});
      return;
    case Said::frozen:
      said_frozen(event);
      return;
    case Said::released:
      said_released(event);
      return;
  }
}

void Component::on(const PongReceived& event) {
  Instance* instance = find_mutable(event.generation);
  if (instance == nullptr) return;
  instance->last_pong = now_;
  instance->awaits_pong = false;
  instance->connections = event.connections;
  if (std::exchange(instance->hung, false)) {
    step("instance.answers_again", {{"generation", fmt::to_string(event.generation)}});
  }
}

void Component::on(const ChannelClosed& event) {
  Instance* instance = find_mutable(event.generation);
  if (instance == nullptr || !instance->channel_open) return;
  instance->channel_open = false;
  if (instance->role == Role::ending) return;
  step("instance.channel_closed",
       {{"generation", fmt::to_string(event.generation)}, {"why", event.why}});
  // Whether the process lives decides, not its channel: mostly it has just ended. But who cannot be
  // talked to neither becomes the first owner nor goes on in an attempt.
  const bool starts = phase_ == Phase::starting && event.generation == starting_;
  const bool takes_over = (phase_ == Phase::preparing || phase_ == Phase::attempting) &&
                          event.generation == attempt_->successor &&
                          event.generation != page_.owner;
  if (starts || takes_over) end_instance(event.generation, EndPolicy::refused, 0, false);
}

// ---- Time

std::optional<MonotonicTime> Component::request_timeout() const {
  if (!in_attempt() || attempt_->options.timeout_ms == 0 || attempt_->timed_out)
    return std::nullopt;
  const bool waits =
      phase_ == Phase::preparing || phase_ == Phase::attempting || phase_ == Phase::retrying;
  if (!waits) return std::nullopt;
  return attempt_->began + std::chrono::milliseconds(attempt_->options.timeout_ms);
}

void Component::on(const TimePassed& /*event*/) {
  ping_instances();
  for (auto& [generation, instance] : instances_) drive_ending(instance);
  answer_closing();
  if (const auto timeout = request_timeout(); timeout && now_ >= *timeout) {
    attempt_->timed_out = true;
    end_attempt_early(
        fmt::format("it was not active within the {} that were given (--timeout)",
                    control::seconds_text(attempt_->options.timeout_ms * 1'000'000ULL)),
        WhyEnd::final);
  }
  if (deadline_ && now_ >= *deadline_) {
    deadline_.reset();
    phase_deadline_passed();
  }
}

void Component::phase_deadline_passed() {
  switch (phase_) {
    case Phase::starting:
      first_instance_failed(
          fmt::format("it was not active within {}",
                      control::seconds_text(settings_.run.start_ms * 1'000'000ULL)));
      return;
    case Phase::backoff:
      set_phase(Phase::starting);
      set_deadline(std::chrono::milliseconds(settings_.run.start_ms));
      starting_ = spawn(owner_launch_);
      return;
    case Phase::preparing:
      end_attempt_early(
          fmt::format("{} was not ready within {}{}", label_of(attempt_->successor),
                      control::seconds_text(attempt_->options.start_ms * 1'000'000ULL),
                      output_hint(attempt_->successor)),
          WhyEnd::may_pass);
      return;
    case Phase::attempting:
      end_attempt_early(fmt::format("nothing moved on in its {} phase",
                                    attempt_phase_name(attempt_->reported_phase)),
                        WhyEnd::may_pass);
      return;
    case Phase::aborting:
      abort_deadline_passed();
      return;
    case Phase::retrying:
      begin_try();
      return;
    case Phase::probation:
      review_probation();
      return;
    case Phase::committing:
      commit_deadline_passed();
      return;
    case Phase::recovering:
      nobody_recovered("nobody took over in time");
      return;
    case Phase::serving:
      if (eject_request_ != 0) {
        refuse(std::exchange(eject_request_, 0), "was not ejected",
               label_of(owner_) + " did not answer; the keeper goes on");
      }
      return;
    case Phase::idle:
    case Phase::stopping:
    case Phase::stopped:
      return;  // these have no deadline of their own
  }
}

void Component::on(const FaultInjected& event) {
  const std::string why = "a fault was injected at " + event.point;
  switch (phase_) {
    case Phase::starting:
      first_instance_failed(why);
      return;
    case Phase::preparing:
    case Phase::attempting:
      end_attempt_early(why, WhyEnd::final);
      return;
    case Phase::probation:
    case Phase::committing:  // the word to commit was held back
      hand_back(why, 0, automatic_undo_options());
      return;
    default:
      step("fault.ignored", {{"point", event.point}});
  }
}

}  // namespace segue::keeper
