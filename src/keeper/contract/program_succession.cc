// SPDX-License-Identifier: Apache-2.0
// A program that does not link libsegue outlives its keeper: what the next one has to know, and how
// to go on without any.
#include <fmt/format.h>

#include <utility>

#include "control/text.h"
#include "keeper/contract/program_component.h"

namespace segue::keeper {

using control::Contract;
using control::ExitCode;

ComponentSnapshot ProgramComponent::snapshot() const {
  ComponentSnapshot snapshot = Decider::snapshot();
  for (const auto& [generation, side] : sides_) snapshot.sides.push_back({generation, side});
  snapshot.deadline = deadline_;
  if (attempt_) snapshot.stopped_at = stopped_at_;
  snapshot.contract_found = found_;
  return snapshot;
}

void ProgramComponent::resume(ComponentSnapshot snapshot, MonotonicTime now) {
  const Phase phase = snapshot.phase;
  const std::optional<MonotonicTime> deadline = snapshot.deadline;
  stopped_at_ = snapshot.stopped_at.value_or(now);
  found_ = snapshot.contract_found;
  attempt_ = std::exchange(snapshot.attempt, std::nullopt);
  undone_ = std::exchange(snapshot.undone, std::nullopt);
  for (auto& saved : snapshot.sides) {
    sides_.insert_or_assign(saved.generation, std::move(saved.side));
  }
  Decider::resume(std::move(snapshot), now);
  phase_ = phase;
  deadline_ = deadline;
  if (phase == Phase::starting) starting_ = last_generation_;
  for (const auto& [generation, instance] : instances_) sides_.try_emplace(generation);
  for (auto* attempt : {&attempt_, &undone_}) {
    if (*attempt) fill_in(**attempt);
  }
  for (auto& closing : closing_) {
    fill_in(closing.attempt);
    closing.answer_at = now + closing.attempt.drain_limit;
  }
}

// What follows from the contract is not written down.
void ProgramComponent::fill_in(Attempt& attempt) const {
  attempt.contract = contract_;
  attempt.holds_sockets = !settings_.contract.listen.empty();
  attempt.drain_limit = drain_limit();
}

// ---- Leaving

std::string ProgramComponent::what_leaving_costs(const EjectRequested& event) const {
  std::string cost = "Nobody restarts it after a crash";
  if (contract_ == Contract::signal) {
    cost += ", and its own signal for a new binary still works";
  } else if (!settings_.contract.listen.empty()) {
    cost += "; its sockets end with it, so the next version is started after its end";
  } else {
    cost += "; the next version is started after its end";
  }
  if (event.stored != 0) {
    cost += fmt::format("; {} that it had stored {} with it from now on",
                        control::counted(event.stored, "descriptor"),
                        event.stored == 1 ? "ends" : "end");
  }
  for (const auto& [generation, instance] : instances_) {
    if (generation == owner_) continue;
    cost += fmt::format("; the old process {} drains without a limit", instance.pid);
  }
  return cost;
}

void ProgramComponent::on(const EjectRequested& event) {
  const auto refuse_it = [&](const std::string& why) {
    refuse(event.request, "was not ejected", why);
  };
  if (const std::string why = why_not_at_rest(); !why.empty()) return refuse_it(why);
  if (!event.only_stored.empty() && !event.force) {
    return refuse_it(fmt::format(
        "{} that it had stored {} seen with the keeper alone ({}) and would be lost: stop it, or "
        "give them up with --force",
        control::counted(event.only_stored.size(), "descriptor"),
        event.only_stored.size() == 1 ? "is" : "are", control::some_of(event.only_stored)));
  }
  const Instance& owner = *find(owner_);
  step("ejected",
       {{"generation", fmt::to_string(owner_)}, {"stored", fmt::to_string(event.stored)}}, true);
  finish(event.request, ExitCode::done,
         fmt::format("{} was ejected: {} (pid {}) serves on without a keeper. {}", settings_.name,
                     control::version_text(owner.label()), owner.pid, what_leaving_costs(event)));
  command(LetGo{});
  set_phase(Phase::stopped);
  command(Leave{ExitCode::done});
}

}  // namespace segue::keeper
