// SPDX-License-Identifier: Apache-2.0
// Instances: starting, crashing, ending, stopping.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <span>
#include <utility>

#include "control/text.h"
#include "handoff/frame.h"
#include "keeper/component.h"
#include "keeper/outcome_text.h"
#include "segue/segue.h"

namespace segue::keeper {
namespace {

using control::ExitCode;
using control::version_text;

struct EndStep {
  enum class Action { report, raise, terminate, kill } action;
  base::Duration after;
};

std::span<const EndStep> end_steps(EndPolicy policy, const control::RunOptions& run,
                                   std::array<EndStep, 3>& room) {
  using std::chrono::seconds;
  const base::Duration grace = std::chrono::milliseconds(run.grace_ms);
  switch (policy) {
    case EndPolicy::committed:
      room = {EndStep{EndStep::Action::report, seconds(1)},
              EndStep{EndStep::Action::raise, seconds(10)},
              EndStep{EndStep::Action::kill, seconds(60)}};
      return room;
    case EndPolicy::refused:
      room[0] = {EndStep::Action::kill, seconds(2)};
      return std::span(room).first(1);
    case EndPolicy::stopped:
      room[0] = {EndStep::Action::terminate, grace};
      room[1] = {EndStep::Action::kill, 2 * grace};
      return std::span(room).first(2);
  }
  return {};
}

}  // namespace

std::optional<MonotonicTime> Component::next_end_step(const Instance& instance,
                                                      const control::RunOptions& run) {
  if (instance.role != Role::ending) return std::nullopt;
  std::array<EndStep, 3> room{};
  const auto steps = end_steps(instance.end_policy, run, room);
  if (instance.end_step >= steps.size()) return std::nullopt;
  return instance.ending_since + steps[instance.end_step].after;
}

void Component::on(const Spawned& event) {
  if (Instance* instance = find_mutable(event.generation)) instance->pid = event.pid;
}

void Component::on(const SpawnFailed& event) {
  on(Exited{event.generation, "could not be started: " + event.why, 0});
}

void Component::on(const HelloReceived& event) {
  Instance* instance = find_mutable(event.generation);
  if (instance == nullptr || instance->said_hello) return;
  instance->said_hello = true;
  instance->service = event.service;
  instance->version = event.version;
  instance->abilities = event.abilities;
  instance->forms = event.forms;
  step("instance.hello", {{"generation", fmt::to_string(event.generation)},
                          {"service", event.service},
                          {"version", event.version}});
  fault_point("hello");
  if (instance->role != Role::starting) return;

  std::string refusal;
  if (event.lowest_protocol > handoff::kHighestProtocol ||
      event.highest_protocol < handoff::kLowestProtocol) {
    refusal =
        fmt::format("{} speaks the handoff protocols {} to {}, and this keeper {} to {}",
                    version_text(instance->label()), event.lowest_protocol, event.highest_protocol,
                    handoff::kLowestProtocol, handoff::kHighestProtocol);
  } else if (!service_.empty() && event.service != service_) {
    refusal = fmt::format("{} is of the service '{}', and {} runs '{}'",
                          instance->launch.argv.front(), event.service, settings_.name, service_);
  }
  if (phase_ == Phase::starting) {
    if (!refusal.empty()) return first_instance_failed(refusal);
    if (service_.empty()) service_ = event.service;
    instance->role = Role::standby;
    command(SendStart{event.generation});
  } else if (phase_ == Phase::preparing && event.generation == attempt_->successor) {
    if (attempt_->kind != Kind::undo) {
      attempt_->losses = event.losses;
      const LossReport& losses = event.losses;
      if (refusal.empty() && attempt_->options.refuse_loss && (!losses.known || loses(losses))) {
        refusal = loss_text(losses, version_text(instance->label()));
      }
    }
    if (!refusal.empty()) return end_attempt_early(refusal, WhyEnd::refused);
    send_attempt(*instance);
  }
}

// The first owner of all, or the first after a crash.
void Component::first_owner_activated(Instance& instance) {
  instance.role = Role::serving;
  instance.active_since = now_;
  owner_ = instance.generation;
  step("instance.active",
       {{"generation", fmt::to_string(instance.generation)}, {"version", instance.version}}, true);
  set_phase(Phase::serving);
  finish(std::exchange(run_request_, 0), ExitCode::done,
         fmt::format("{} {} serves (pid {})", settings_.name, version_text(instance.label()),
                     instance.pid));
  start_queued();
}

void Component::on(const Exited& event) {
  Instance* found = find_mutable(event.generation);
  if (found == nullptr) return;
  found->signal = event.signal;
  const Instance gone = *found;
  instances_.erase(event.generation);
  step("instance.ended",
       {{"generation", fmt::to_string(gone.generation)},
        {"how", event.how},
        {"role", std::string(to_string(gone.role))}},
       true);
  predecessor_gone(gone.generation);
  const bool was_owner = gone.generation == owner_;
  const std::string how = fmt::format("{} {}", version_text(gone.label()), event.how);
  switch (phase_) {
    case Phase::starting:
      if (gone.generation == starting_) first_instance_failed(how + output_hint(gone.generation));
      break;
    case Phase::serving:
      if (was_owner) owner_lost(how);
      break;
    case Phase::preparing:
    case Phase::attempting:
    case Phase::aborting:
    case Phase::retrying:
    case Phase::probation:
    case Phase::committing:
    case Phase::recovering:
      exited_in_attempt(gone, how);
      break;
    case Phase::stopping:
      drive_stop();
      break;
    case Phase::idle:
    case Phase::backoff:
    case Phase::stopped:
      break;
  }
}

// Also after a crash, when the program started again does not become active.
void Component::first_instance_failed(const std::string& why) {
  for (const auto& [generation, instance] : instances_) {
    if (instance.role != Role::ending) kill_instance(generation);
  }
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

// The owner is dead and nobody else can serve.
void Component::owner_lost(const std::string& how) {
  if (eject_request_ != 0) refuse(std::exchange(eject_request_, 0), "was not ejected", how);
  command(Vacate{owner_});
  step("owner.lost", {{"how", how}}, true);
  restart_later(how);
}

void Component::end_instance(Generation generation, EndPolicy policy, std::uint32_t reason,
                             bool tell) {
  Instance* instance = find_mutable(generation);
  if (instance == nullptr) return;
  if (instance->role == Role::ending && instance->end_policy == policy) return;
  instance->role = Role::ending;
  instance->end_policy = policy;
  instance->ending_since = now_;
  instance->end_step = 0;
  if (tell && instance->channel_open) command(SendEnd{generation, reason});
}

void Component::kill_instance(Generation generation) {
  end_instance(generation, EndPolicy::refused, SEGUE_END_REFUSED, false);
  command(Signal{generation, SIGKILL});
}

// What it asks for is what it would do itself, were the two in PID namespaces that see each other.
void Component::on(const FenceAsked& event) {
  const Instance* asks = find(event.generation);
  const Instance* other = find(event.other);
  if (asks == nullptr || other == nullptr || event.generation == event.other) return;
  const auto takes_part = [&](Generation generation) {
    return in_attempt() && (generation == attempt_->predecessor ||
                            generation == attempt_->successor || generation == attempt_->carried);
  };
  const bool may =
      other->role == Role::ending || (takes_part(event.generation) && takes_part(event.other));
  step(may ? "instance.fenced" : "instance.not_fenced",
       {{"generation", fmt::to_string(event.other)}, {"by", fmt::to_string(event.generation)}},
       true);
  if (may) command(Signal{event.other, SIGKILL});
}

void Component::drive_ending(Instance& instance) {
  const auto due = next_end_step(instance, settings_.run);
  if (!due || now_ < *due) return;
  std::array<EndStep, 3> room{};
  const EndStep::Action action =
      end_steps(instance.end_policy, settings_.run, room)[instance.end_step++].action;
  const Step::Fields fields = {
      {"generation", fmt::to_string(instance.generation)},
      {"after",
       control::seconds_text(static_cast<std::uint64_t>((now_ - instance.ending_since).count()))}};
  switch (action) {
    case EndStep::Action::report:
      step("instance.ends_slowly", fields);
      return;
    case EndStep::Action::raise:
      step("instance.priority_raised", fields);
      command(RaisePriority{instance.generation});
      return;
    case EndStep::Action::terminate:
      step("instance.terminated", fields);
      command(Signal{instance.generation,
                     control::parse_signal(settings_.contract.stop_signal).value_or(SIGTERM)});
      return;
    case EndStep::Action::kill:
      step("instance.killed", fields, true);
      command(Signal{instance.generation, SIGKILL});
      return;
  }
}

// A successor in probation that hears nothing for hang_ms commits by itself.
base::Duration Component::ping_interval() const {
  if (!in_attempt() || !attempt_->options.hang_ms) return kPingInterval;
  const base::Duration quarter = std::chrono::milliseconds(*attempt_->options.hang_ms) / 4;
  return std::clamp(quarter, kMinPingInterval, kPingInterval);
}

void Component::ping_instances() {
  if (now_ < next_ping_) return;
  next_ping_ = now_ + ping_interval();
  for (auto& [generation, instance] : instances_) {
    if (!instance.said_hello || !instance.channel_open) continue;
    if (!std::exchange(instance.awaits_pong, true)) instance.first_ping = now_;
    command(SendPing{generation});
    const bool silent = now_ - instance.first_ping >= kHungAfter;
    if (generation == owner_ && silent && !std::exchange(instance.hung, true)) {
      step("instance.hung", {{"generation", fmt::to_string(generation)}}, true);
    }
    if (generation == owner_ && now_ - instance.active_since >= kHealthyAfter) {
      active_long_enough_ = true;
    }
  }
}

// ---- Stopping: whoever does not own anything first, so that nobody takes over from the owner.

void Component::stop_now(const std::string& why) {
  abandon_requests(why);
  if (eject_request_ != 0) refuse(std::exchange(eject_request_, 0), "was not ejected", why);
  for (auto* attempt : {&attempt_, &undone_}) {
    if (!*attempt) continue;
    if (phase_ == Phase::attempting) {
      for (const Generation side : {(*attempt)->predecessor, (*attempt)->successor}) {
        command(SendAbort{side, (*attempt)->id, why});
      }
    }
    Attempt over = *std::exchange(*attempt, std::nullopt);
    over.aftermath = "it is stopped";
    conclude(std::move(over), Outcome::failed, why);
  }
  set_phase(Phase::stopping);
  drive_stop();
}

void Component::drive_stop() {
  const Generation owner = page_.owner != 0 ? page_.owner : owner_;
  bool others = false;
  for (auto& [generation, instance] : instances_) {
    if (generation == owner) continue;
    others = true;
    end_instance(generation, EndPolicy::refused, SEGUE_END_STOPPED, true);
  }
  if (others) return;
  if (!instances_.empty()) {
    end_instance(owner, EndPolicy::stopped, SEGUE_END_STOPPED, true);
    return;
  }
  leave();
}

}  // namespace segue::keeper
