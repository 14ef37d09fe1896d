// SPDX-License-Identifier: Apache-2.0
// Requests, time, and what programs tell. Their life is in program_instances.cc, upgrades are in
// program_upgrade.cc.
#include "keeper/contract/program_component.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "control/text.h"

namespace segue::keeper {

using control::Contract;
using control::Ready;

ProgramComponent::ProgramComponent(Settings settings)
    : Decider(std::move(settings)),
      contract_(control::parse_contract(settings_.contract.upgrade).value_or(Contract::restart)),
      ready_(control::parse_ready(settings_.contract.ready).value_or(Ready::automatic)),
      stop_signal_(control::parse_signal(settings_.contract.stop_signal).value_or(SIGTERM)) {}

void ProgramComponent::dispatch(const Event& event) {
  std::visit(
      [this](const auto& typed) {
        // The others are of programs that link libsegue.
        if constexpr (requires { on(typed); }) on(typed);
      },
      event);
}

// ---- Requests

void ProgramComponent::on(const RunRequested& event) {
  if (phase_ != Phase::idle) {
    refuse(event.request, "was not started", "it runs already; to change its program, upgrade it");
    return;
  }
  run_request_ = event.request;
  owner_launch_ = event.launch;
  step("run", {{"program", event.launch.argv.front()}, {"contract", settings_.contract.upgrade}},
       true);
  set_phase(Phase::starting);
  set_deadline(std::chrono::milliseconds(settings_.run.start_ms));
  starting_ = start(event.launch);
}

void ProgramComponent::on(const UpgradeRequested& event) {
  if (phase_ != Phase::serving) {
    enqueue_or_refuse(event, event.options.queue);
    return;
  }
  if (event.kind == Kind::rehearse) {
    refuse(event.request, "was not rehearsed",
           fmt::format("the contract '{}' moves no state that could be compared",
                       to_string(contract_)));
    return;
  }
  const auto& running = owner_launch_.argv;
  const auto& wanted = event.launch.argv;
  if (contract_ == Contract::signal &&
      !std::equal(running.begin() + 1, running.end(), wanted.begin() + 1, wanted.end())) {
    refuse(event.request, "was not upgraded",
           "a program that replaces itself keeps its arguments: name the new binary with the same "
           "ones");
    return;
  }
  Attempt attempt;
  attempt.kind = event.kind;
  attempt.request = event.request;
  attempt.launch = event.launch;
  attempt.options = event.options;
  begin(std::move(attempt));
}

void ProgramComponent::on(const UndoRequested& event) {
  switch (phase_) {
    case Phase::serving:
      if (auto attempt = undo_attempt(event)) begin(*std::move(attempt));
      return;
    case Phase::preparing:
    case Phase::attempting:
    case Phase::probation:
      if (attempt_->kind == Kind::undo || attempt_->undo_request != 0) break;
      go_back("the operator undid it", event.request);
      return;
    default:
      break;
  }
  refuse(event.request, "was not handed back", busy_text());
}

void ProgramComponent::on(const StopRequested& event) {
  if (phase_ == Phase::stopped) {
    return finish(event.request, control::ExitCode::done, settings_.name + " is stopped");
  }
  if (event.request != 0) stop_requests_.push_back(event.request);
  if (phase_ == Phase::stopping) return;
  step("stop", {{"phase", std::string(to_string(phase_))}}, true);
  stop_now("the component was stopped");
}

// ---- What programs tell

void ProgramComponent::on(const ProgramTold& event) {
  if (find(event.generation) == nullptr) return;
  std::visit([&](const auto& what) { told(event.generation, what); }, event.what);
}

void ProgramComponent::told(Generation generation, const Notice& notice) {
  Side& side = sides_[generation];
  const auto say = [&](const char* name, std::string value) {
    step(name, {{"generation", fmt::to_string(generation)}, {"text", std::move(value)}});
  };
  if (notice.status) {
    side.status = *notice.status;
    say("notify.status", *notice.status);
  }
  if (notice.error_number) say("notify.errno", fmt::to_string(*notice.error_number));
  if (!notice.wrong.empty()) say("notify.wrong_value", notice.wrong);
  if (notice.stopping) say("notify.stopping", "");
  if (notice.reloading && !std::exchange(side.reloading, true)) say("notify.reloading", "");
  if (notice.extend_timeout && deadline_ &&
      (generation == starting_ || (in_attempt() && generation == attempt_->successor))) {
    // As systemd does: it holds for the start that is under way.
    deadline_ = std::max(*deadline_, now_ + std::min(*notice.extend_timeout, kMaxExtension));
  }
  if (notice.extend_timeout && side.leaving == Leaving::draining) {
    side.leaving_until =
        std::max(side.leaving_until, now_ + std::min(*notice.extend_timeout, kMaxExtension));
  }
  note_watchdog(generation, notice);
  if (notice.store) {
    side.stored = true;
    if (phase_ == Phase::serving && found_ && contract_ == Contract::restart) find_contract(side);
  }
  if (!notice.ready) return;
  const bool replaced_itself = std::exchange(side.reloading, false) && in_attempt() &&
                               contract_ == Contract::signal && phase_ == Phase::preparing &&
                               attempt_->successor == 0 && generation == attempt_->predecessor;
  side.said_ready = true;
  say("notify.ready", "");
  // One that executes its new binary in place stays the same process.
  if (replaced_itself) {
    told(generation, ProgramTold::NewMain{find(generation)->pid});
  } else {
    review_ready(generation);
  }
}

void ProgramComponent::note_watchdog(Generation generation, const Notice& notice) {
  Side& side = sides_[generation];
  if (notice.watchdog_interval) side.watchdog = notice.watchdog_interval;
  if (notice.watchdog == Notice::Watchdog::ping) side.last_ping = now_;
  if (notice.watchdog == Notice::Watchdog::trigger && side.leaving == Leaving::no) {
    step("watchdog.triggered", {{"generation", fmt::to_string(generation)}}, true);
    side.watchdog = base::Duration(0);
    side.last_ping = now_ - base::Duration(1);
    watch_dog(generation, side);
  }
}

void ProgramComponent::told(Generation generation, const ProgramTold::Counted& counted) {
  Side& side = sides_[generation];
  find_mutable(generation)->connections = counted.established + counted.kept;
  side.kept = counted.kept;
  side.left = counted.established;
  if (side.leaving == Leaving::draining) side.at_stop = std::max(side.at_stop, side.left);
}

void ProgramComponent::told(Generation generation, const ProgramTold::Accepting& /*accepting*/) {
  sides_[generation].accepting = true;
  review_ready(generation);
}

void ProgramComponent::told(Generation generation, const ProgramTold::Cut& cut) {
  Side& side = sides_[generation];
  if (side.leaving != Leaving::cutting) return;
  side.cut += cut.cut;
  side.left = cut.left;
  step("connections.cut", {{"generation", fmt::to_string(generation)},
                           {"cut", fmt::to_string(cut.cut)},
                           {"left", fmt::to_string(cut.left)}});
  if (cut.left == 0 || cut.cut == 0 || now_ >= side.cut_until) {
    if (cut.left != 0 && cut.cut == 0) {
      step("connections.not_cut", {{"generation", fmt::to_string(generation)},
                                   {"why", "this keeper may not end its connections one by one"}});
    }
    side.leaving_until = now_;  // what is left ends with the process
    side.cut_until = now_;
  } else {
    side.leaving_until = now_ + kCutInterval;
  }
}

void ProgramComponent::told(Generation generation, const ProgramTold::NewMain& main) {
  if (Side& side = sides_[generation]; side.awaits_main) {
    side.awaits_main = false;
    Instance& instance = *find_mutable(generation);
    instance.spawned = now_;
    return command(ProgramOrder{generation, ProgramOrder::Adopt{generation, main.pid}});
  }
  if (contract_ != Contract::signal || phase_ != Phase::preparing || attempt_->successor != 0 ||
      generation != attempt_->predecessor) {
    return;
  }
  Instance instance;
  instance.generation = ++last_generation_;
  instance.launch = attempt_->launch;
  instance.spawned = now_;
  instance.pid = main.pid;
  const Generation successor = instance.generation;
  const bool same_process = find(generation)->pid == main.pid;
  instances_.emplace(successor, std::move(instance));
  Side& side = sides_[successor];
  side.said_ready = same_process;
  side.next_look = now_ + kLookInterval;
  attempt_->successor = successor;
  attempt_->to = find(successor)->label();
  step("instance.new_main",
       {{"generation", fmt::to_string(successor)}, {"pid", fmt::to_string(main.pid)}}, true);
  command(ProgramOrder{generation, ProgramOrder::Adopt{successor, main.pid}});
  if (same_process) {
    instances_.erase(generation);
    sides_.erase(generation);
    owner_ = successor;
  }
  review_ready(successor);
}

// ---- Time

MonotonicTime ProgramComponent::next_deadline() const {
  MonotonicTime next = MonotonicTime::max();
  const auto consider = [&](MonotonicTime time) { next = std::min(next, time); };
  if (deadline_) consider(*deadline_);
  for (const auto& [generation, side] : sides_) {
    const bool looks_for_main = contract_ == Contract::signal && phase_ == Phase::preparing &&
                                attempt_->successor == 0 && generation == attempt_->predecessor;
    if (side.leaving == Leaving::draining) consider(side.next_count);
    if (side.leaving != Leaving::no && side.leaving != Leaving::killed)
      consider(side.leaving_until);
    if (side.leaving == Leaving::no && (!side.is_ready || looks_for_main)) consider(side.next_look);
    if (side.leaving == Leaving::no && side.is_ready && side.watchdog) {
      consider(side.last_ping + *side.watchdog);
    }
  }
  for (const auto& closing : closing_) {
    if (!closing.answered) consider(closing.answer_at);
  }
  const bool waits = phase_ == Phase::preparing || phase_ == Phase::attempting;
  if (waits && attempt_->options.timeout_ms != 0 && !attempt_->timed_out && !undone_) {
    consider(attempt_->began + std::chrono::milliseconds(attempt_->options.timeout_ms));
  }
  return next;
}

void ProgramComponent::on(const TimePassed& /*event*/) {
  std::vector<Generation> generations;
  generations.reserve(sides_.size());
  for (const auto& [generation, side] : sides_) generations.push_back(generation);
  for (const Generation generation : generations) {
    const auto found = sides_.find(generation);
    if (found == sides_.end()) continue;
    if (found->second.leaving != Leaving::no) {
      drive_leaving(generation, found->second);
    } else {
      watch_dog(generation, found->second);
      look(generation, found->second);
    }
  }
  answer_closing();
  const bool waits = phase_ == Phase::preparing || phase_ == Phase::attempting;
  if (waits && attempt_->options.timeout_ms != 0 && !attempt_->timed_out && !undone_ &&
      now_ >= attempt_->began + std::chrono::milliseconds(attempt_->options.timeout_ms)) {
    attempt_->timed_out = true;
    go_back(fmt::format("it was not active within the {} that were given (--timeout)",
                        control::seconds_text(attempt_->options.timeout_ms * 1'000'000ULL)),
            0);
  }
  if (!deadline_ || now_ < *deadline_) return;
  deadline_.reset();
  switch (phase_) {
    case Phase::starting:
      return start_failed(not_ready_text(starting_));
    case Phase::backoff:
      set_phase(Phase::starting);
      set_deadline(std::chrono::milliseconds(settings_.run.start_ms));
      starting_ = start(owner_launch_);
      return;
    case Phase::preparing:
      return go_back(not_ready_text(attempt_->successor), 0);
    case Phase::probation:
      return review_probation();
    default:
      return;
  }
}

void ProgramComponent::on(const FaultInjected& event) {
  const std::string why = "a fault was injected at " + event.point;
  switch (phase_) {
    case Phase::starting:
      return start_failed(why);
    case Phase::preparing:
    case Phase::attempting:
    case Phase::probation:
      return go_back(why, 0);
    default:
      step("fault.ignored", {{"point", event.point}});
  }
}

}  // namespace segue::keeper
