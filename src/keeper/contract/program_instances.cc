// SPDX-License-Identifier: Apache-2.0
// The life of one program: started, ready, hung, drained, ended.
#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "control/text.h"
#include "keeper/contract/program_component.h"

namespace segue::keeper {

using control::Contract;
using control::ExitCode;
using control::Ready;
using control::version_text;
using std::chrono::milliseconds;

namespace {

std::string limit_text(base::Duration limit) {
  return control::seconds_text(static_cast<std::uint64_t>(limit.count()));
}

}  // namespace

// ---- Starting

Generation ProgramComponent::start(const control::Launch& launch) {
  const Generation generation = spawn(launch);
  Side& side = sides_[generation];
  side.next_look = now_ + kLookInterval;
  if (settings_.contract.watchdog_ms != 0) {
    side.watchdog = milliseconds(settings_.contract.watchdog_ms);
  }
  return generation;
}

void ProgramComponent::on(const Spawned& event) {
  if (Instance* instance = find_mutable(event.generation)) instance->pid = event.pid;
}

void ProgramComponent::on(const SpawnFailed& event) {
  on(Exited{event.generation, "could not be started: " + event.why, 0});
}

void ProgramComponent::look(Generation generation, Side& side) {
  const bool looks_for_main = contract_ == Contract::signal && phase_ == Phase::preparing &&
                              attempt_->successor == 0 && generation == attempt_->predecessor;
  if ((side.is_ready && !looks_for_main) || now_ < side.next_look) return;
  side.next_look = now_ + kLookInterval;
  if (looks_for_main || side.awaits_main)
    return command(ProgramOrder{generation, ProgramOrder::LookNewMain{}});
  const bool may_accept = ready_ == Ready::automatic || ready_ == Ready::accepting;
  if (may_accept && !settings_.contract.listen.empty()) {
    command(ProgramOrder{generation, ProgramOrder::LookAccepting{}});
  }
  if (ready_ == Ready::health) {
    side.next_look = now_ + kHealthInterval;
    check_health(generation);
  }
  review_ready(generation);
}

// What a program can do shows in what it does. One that replaces itself when it is signalled looks
// like any other.
bool ProgramComponent::shows_contract(const Side& side) const {
  if (contract_ != Contract::automatic) return true;
  return side.stored || side.accepting || (side.said_ready && settings_.contract.listen.empty());
}

void ProgramComponent::find_contract(const Side& side) {
  contract_ = side.stored      ? Contract::fdstore
              : side.accepting ? Contract::listeners
                               : Contract::restart;
  found_ = true;
  settings_.contract.upgrade = to_string(contract_);
  step("contract.found",
       {{"contract", settings_.contract.upgrade},
        {"by", side.stored      ? "it stored a descriptor"
               : side.accepting ? "it accepts on the sockets that it was given"
                                : "it says READY=1 and was given no socket"}},
       true);
}

bool ProgramComponent::shows_ready(const Instance& instance, const Side& side) const {
  const bool has_started = now_ - instance.spawned >= kStartedAfter;
  switch (ready_) {
    case Ready::notify:
      return side.said_ready;
    case Ready::accepting:
      return side.accepting;
    case Ready::health:
      return side.healthy;
    case Ready::started:
      return has_started;
    case Ready::automatic:
      return side.said_ready || side.accepting ||
             (settings_.contract.listen.empty() && has_started);
  }
  return false;
}

void ProgramComponent::review_ready(Generation generation) {
  const Instance* instance = find(generation);
  Side& side = sides_[generation];
  if (side.is_ready || side.awaits_main || side.leaving != Leaving::no) return;
  if (!shows_ready(*instance, side)) return;
  if (!shows_contract(side)) return;
  if (contract_ == Contract::automatic) find_contract(side);
  side.is_ready = true;
  side.last_ping = now_;
  step("instance.ready", {{"generation", fmt::to_string(generation)},
                          {"by", side.said_ready  ? "notify"
                                 : side.accepting ? "accepting"
                                 : side.healthy   ? "health"
                                                  : "started"}});
  if (phase_ == Phase::starting && generation == starting_) return became_owner(generation);
  if (phase_ == Phase::preparing && generation == attempt_->successor) successor_ready();
}

std::string ProgramComponent::not_ready_text(Generation generation) const {
  const std::uint32_t ms =
      phase_ == Phase::starting ? settings_.run.start_ms : attempt_->options.start_ms;
  const std::string limit = control::seconds_text(ms * 1'000'000ULL);
  if (generation == 0) {
    return fmt::format("no new main process showed within {} (--new-pid {})", limit,
                       settings_.contract.new_pid);
  }
  if (contract_ == Contract::automatic) {
    return fmt::format(
        "within {} {} neither said hello, as programs that link libsegue do, nor READY=1, nor "
        "waited for connections on its sockets: name what it can do with --upgrade listeners, "
        "fdstore, signal or restart{}",
        limit, label_of(generation), output_hint(generation));
  }
  std::string missing =
      "it did not say READY=1, and does not wait for connections on every socket "
      "that it was given: does it take them? (--ready names another sign)";
  if (ready_ == Ready::notify) missing = "it did not say READY=1";
  if (ready_ == Ready::accepting) {
    missing = "it does not wait for connections on every socket that it was given";
  }
  if (ready_ == Ready::health) missing = "its health check was never good";
  return fmt::format("{} was not ready within {}: {}{}", label_of(generation), limit, missing,
                     output_hint(generation));
}

void ProgramComponent::became_owner(Generation generation) {
  Instance& instance = *find_mutable(generation);
  instance.role = Role::serving;
  instance.active_since = now_;
  owner_ = generation;
  step("instance.active",
       {{"generation", fmt::to_string(generation)}, {"version", instance.version}}, true);
  set_phase(Phase::serving);
  finish(std::exchange(run_request_, 0), ExitCode::done,
         fmt::format("{} {} serves (pid {}, upgrade: {})", settings_.name,
                     version_text(instance.label()), instance.pid, to_string(contract_)) +
             (found_ ? " (found out)" : ""));
  start_queued();
}

void ProgramComponent::start_failed(const std::string& why) {
  forget_unfound();
  if (find(starting_) != nullptr) kill(starting_);
  if (run_request_ != 0 || owner_ == 0) {
    step("run.failed", {{"why", why}}, true);
    finish(std::exchange(run_request_, 0), ExitCode::failed,
           fmt::format("{} was not started: {}", settings_.name, why));
    leave_with_ = ExitCode::failed;
    stop_now("it did not start");
    return;
  }
  restart_later(why);
}

// ---- Ending

// A daemon that forks: its first process ends well, and its main one shows where --new-pid says.
bool ProgramComponent::went_to_background(const Exited& event) {
  const bool starts = contract_ == Contract::signal && phase_ == Phase::starting &&
                      event.generation == starting_ && event.how == "exited with 0";
  Side& side = sides_[event.generation];
  if (!starts || side.leaving != Leaving::no) return false;
  side.awaits_main = true;
  side.next_look = now_;
  step("instance.went_to_background", {{"generation", fmt::to_string(event.generation)}});
  return true;
}

// Whoever never showed a main process has none that could end.
void ProgramComponent::forget_unfound() {
  std::erase_if(instances_, [this](const auto& entry) { return sides_[entry.first].awaits_main; });
  std::erase_if(sides_, [](const auto& entry) { return entry.second.awaits_main; });
}

void ProgramComponent::on(const Exited& event) {
  Instance* found = find_mutable(event.generation);
  if (found == nullptr || went_to_background(event)) return;
  found->signal = event.signal;
  const Instance gone = *found;
  const Side side = sides_[event.generation];
  instances_.erase(event.generation);
  sides_.erase(event.generation);
  step("instance.ended",
       {{"generation", fmt::to_string(gone.generation)},
        {"how", event.how},
        {"role", std::string(to_string(gone.role))}},
       true);
  predecessor_left(gone, side);
  const std::string how = fmt::format("{} {}", version_text(gone.label()), event.how);
  switch (phase_) {
    case Phase::starting:
      if (gone.generation == starting_) {
        start_failed(how + " before it was ready" + output_hint(gone.generation));
      }
      return;
    case Phase::serving:
      if (gone.generation == owner_) owner_lost(how);
      return;
    case Phase::preparing:
    case Phase::attempting:
    case Phase::probation:
      return exited_in_attempt(gone, side, how);
    case Phase::stopping:
      return drive_stop();
    default:
      return;
  }
}

void ProgramComponent::owner_lost(const std::string& how) {
  step("owner.lost", {{"how", how}}, true);
  restart_later(how);
}

base::Duration ProgramComponent::drain_limit() const {
  if (settings_.contract.drain_ms) return milliseconds(*settings_.contract.drain_ms);
  const bool waits_for_it = contract_ == Contract::restart || contract_ == Contract::fdstore;
  return waits_for_it ? kRestartDrain : kSideBySideDrain;
}

void ProgramComponent::begin_leaving(Generation generation, base::Duration limit, int signal) {
  Instance* instance = find_mutable(generation);
  Side& side = sides_[generation];
  if (instance == nullptr || side.leaving != Leaving::no) return;
  instance->role = Role::ending;
  instance->ending_since = now_;
  side.leaving = Leaving::draining;
  side.leaving_until = now_ + limit;
  side.next_count = now_ + kCountInterval;
  step("instance.told_to_end", {{"generation", fmt::to_string(generation)},
                                {"signal", fmt::to_string(signal)},
                                {"limit", limit_text(limit)}});
  command(ProgramOrder{generation, ProgramOrder::Count{}});
  command(Signal{generation, signal});
}

void ProgramComponent::drive_leaving(Generation generation, Side& side) {
  if (side.leaving == Leaving::draining && now_ >= side.next_count) {
    side.next_count = now_ + kCountInterval;
    command(ProgramOrder{generation, ProgramOrder::Count{}});
  }
  if (now_ < side.leaving_until) return;
  switch (side.leaving) {
    case Leaving::draining:
      return drain_limit_reached(generation, side);
    case Leaving::cutting:
      if (now_ < side.cut_until) {
        side.leaving_until = now_ + kCutInterval;
        command(
            ProgramOrder{generation, ProgramOrder::Cut{settings_.contract.reconnect_per_second}});
        return;
      }
      side.leaving = Leaving::terminated;
      side.leaving_until = now_ + kKillAfter;
      return command(Signal{generation, SIGTERM});
    case Leaving::terminated:
      return kill(generation);
    case Leaving::no:
    case Leaving::killed:
      return;
  }
}

void ProgramComponent::drain_limit_reached(Generation generation, Side& side) {
  side.was_limit = true;
  step("drain.limit",
       {{"generation", fmt::to_string(generation)}, {"left", fmt::to_string(side.left)}}, true);
  if (settings_.contract.reconnect_per_second != 0 && side.left != 0) {
    side.leaving = Leaving::cutting;
    side.cut_until = now_ + kMaxCutting;
    side.leaving_until = now_ + kCutInterval;
    return command(
        ProgramOrder{generation, ProgramOrder::Cut{settings_.contract.reconnect_per_second}});
  }
  side.leaving = Leaving::terminated;
  side.leaving_until = now_ + kKillAfter;
  command(Signal{generation, SIGTERM});
}

void ProgramComponent::kill(Generation generation) {
  Side& side = sides_[generation];
  find_mutable(generation)->role = Role::ending;
  side.leaving = Leaving::killed;
  side.leaving_until = MonotonicTime::max();
  step("instance.killed", {{"generation", fmt::to_string(generation)}}, true);
  command(Signal{generation, SIGKILL});
}

// A program that stopped saying WATCHDOG=1 hangs: it is ended, and its end does the rest.
void ProgramComponent::watch_dog(Generation generation, Side& side) {
  if (!side.is_ready || !side.watchdog || side.leaving != Leaving::no) return;
  if (now_ < side.last_ping + *side.watchdog) return;
  find_mutable(generation)->hung = true;
  step("instance.hung", {{"generation", fmt::to_string(generation)}}, true);
  side.leaving = Leaving::terminated;
  side.leaving_until = now_ + kKillAfter;
  command(Signal{generation, SIGABRT});
}

// ---- Stopping

void ProgramComponent::stop_now(const std::string& why) {
  abandon_requests(why);
  for (auto* attempt : {&attempt_, &undone_}) {
    if (!*attempt) continue;
    Attempt over = *std::exchange(*attempt, std::nullopt);
    over.aftermath = "it is stopped";
    conclude(std::move(over), Outcome::failed, why);
  }
  set_phase(Phase::stopping);
  drive_stop();
}

void ProgramComponent::drive_stop() {
  forget_unfound();
  if (instances_.empty()) return leave();
  std::vector<Generation> generations;
  for (const auto& [generation, instance] : instances_) generations.push_back(generation);
  for (const Generation generation : generations) {
    Side& side = sides_[generation];
    const MonotonicTime until = now_ + milliseconds(settings_.run.grace_ms);
    begin_leaving(generation, milliseconds(settings_.run.grace_ms), stop_signal_);
    // One that drains already has no longer than the others.
    if (side.leaving == Leaving::draining) side.leaving_until = std::min(side.leaving_until, until);
  }
}

}  // namespace segue::keeper
