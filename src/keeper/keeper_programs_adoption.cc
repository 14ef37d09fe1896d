// SPDX-License-Identifier: Apache-2.0
// Programs that do not link libsegue and whose keeper has died: they cannot come to the next one,
// so it looks for them, and fetches from them what the dead one held.
#include <fmt/format.h>

#include <utility>

#include "keeper/contract/program_component.h"
#include "keeper/keeper.h"

namespace segue::keeper {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

std::vector<pid_t> families_of(const std::vector<LeftProcess>& left) {
  const ProcessTable table = ProcessTable::read();
  std::vector<pid_t> processes;
  for (const auto& process : left) {
    const auto family = table.family(process.saved.pid);
    processes.insert(processes.end(), family.begin(), family.end());
  }
  return processes;
}

}  // namespace

bool programs_are_left(const ComponentPaths& paths) {
  const auto state = read_saved_state(paths);
  return state && state->programs && !living_of(state->processes).empty();
}

Result<std::unique_ptr<Keeper>> Keeper::adopt_programs(const os::Clock& clock, CommandLine line,
                                                       ComponentPaths paths, ComponentLocks& locks,
                                                       std::vector<std::string> environment,
                                                       SavedState saved) {
  auto left = living_of(saved.processes);
  if (left.empty()) return fail(ErrorCode::not_found, "nobody of {} serves any more", line.name);
  if (saved.programs->contract.upgrade == to_string(control::Contract::automatic)) {
    return fail(instances_in_the_way(paths, line.name,
                                     "its keeper died before it knew what the program can do"));
  }
  line.run = saved.run;
  line.launch = saved.launch;
  line.contract = saved.programs->contract;
  line.health = saved.programs->health;
  if (locks.instances_alive) {
    // Whoever holds the lock shares it with those that this keeper will start.
    const FileIndex index(families_of(left));
    if (os::UniqueFd held = index.fetch(identity_of(locks.instances.get()))) {
      locks.instances = std::move(held);
    }
  }
  SEGUE_ASSIGN(auto loop, os::EpollLoop::create(clock));
  std::unique_ptr<Keeper> keeper(new Keeper(clock, std::move(line), std::move(paths),
                                            std::move(locks), std::move(environment),
                                            std::move(loop)));
  SEGUE_TRY(keeper->take_over_programs(std::move(saved), std::move(left)));
  return keeper;
}

Result<void> Keeper::take_over_programs(SavedState saved, std::vector<LeftProcess> left) {
  SEGUE_TRY(watch_signals());
  if (const auto status = handoff::OwnerPage::create(page_); !status.ok()) {
    return fail(ErrorCode::internal, "{}", status.text);
  }
  nonce_ = saved.rendezvous_nonce;
  since_ = saved.since;
  replaced_ = saved.replaced;
  load_history();
  load_steps();
  const auto families = families_of(left);
  SEGUE_TRY(prepare_programs(found_belongings(*saved.programs, manager_.take_kept(), families)));
  for (auto& process : left) {
    const Generation generation = process.saved.generation;
    programs_->started(generation, process.saved.pid);
    SEGUE_TRY(take_over_process(
        generation, Process{.channel = handoff::Link(handoff::UniqueFd()),
                            .child = {.pid = process.saved.pid, .pidfd = std::move(process.pidfd)},
                            .channel_open = false,
                            .is_child = false,
                            .start_ticks = process.saved.start_ticks}));
  }
  std::vector<Generation> ended;
  for (const Instance& instance : saved.component.instances) {
    if (!processes_.contains(instance.generation)) ended.push_back(instance.generation);
  }
  const base::MonotonicTime now = clock_.monotonic_now();
  for (auto& [generation, side] : saved.component.sides) side.last_ping = now;
  component_->resume(std::move(saved.component), now);
  for (const Generation generation : ended) {
    post(Exited{generation, "ended while it had no keeper", 0});
  }
  start_metrics();
  const std::string losses = programs_->losses();
  execute(Step{"keeper.adopted",
               {{"generation", fmt::to_string(component_->owner())},
                {"instances", fmt::to_string(processes_.size())},
                {"listeners", fmt::to_string(listener_count())},
                {"stored", fmt::to_string(programs_->stored_names().size())},
                {"lost", losses}},
               true});
  return finish_adoption(component_->owner(), losses);
}

}  // namespace segue::keeper
