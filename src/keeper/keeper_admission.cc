// SPDX-License-Identifier: Apache-2.0
// Before an attempt: is there room on the host, and is it this component's turn?
#include <fmt/format.h>
#include <unistd.h>

#include <utility>

#include "control/text.h"
#include "keeper/host_check.h"
#include "keeper/keeper.h"
#include "os/host_figures.h"

namespace segue::keeper {
namespace {

using control::ExitCode;

constexpr base::Duration kLookAgain = std::chrono::milliseconds(200);
constexpr std::string_view kSlotFolder = ".attempts";  // no component can have that name

HostFigures figures_of(std::int32_t pid, const std::vector<AttemptSlots::Holder>& others) {
  HostFigures figures;
  if (const auto memory = os::process_memory(pid)) {
    figures.predecessor_bytes = memory->anonymous_bytes;
    figures.arena_bytes = memory->shared_bytes;
  }
  if (const auto memory = os::host_memory()) {
    figures.available_bytes = memory->available_bytes;
    figures.cgroup_room_bytes = memory->cgroup_room_bytes;
  } else {
    figures.available_bytes = UINT64_MAX;  // what cannot be known refuses nobody
  }
  for (const auto& other : others) figures.promised_bytes += other.promised_bytes;
  if (const auto load = os::host_load()) {
    figures.load = load->runnable;
    figures.cpus = load->cpus;
  }
  return figures;
}

std::string names_of(const std::vector<AttemptSlots::Holder>& holders) {
  std::string names;
  for (const auto& holder : holders) {
    names += fmt::format("{}{} (keeper {})", names.empty() ? "" : ", ", holder.name, holder.pid);
  }
  return names;
}

}  // namespace

AttemptSlots Keeper::attempt_slots() const {
  return AttemptSlots(paths_.runtime.substr(0, paths_.runtime.rfind('/') + 1) +
                      std::string(kSlotFolder));
}

// Where the component does not rest, it answers by itself; an attempt under way has its slot.
void Keeper::admit(RequestId id, Event event, const control::AttemptOptions& options) {
  if (component_->phase() != Phase::serving || slot_) {
    post(std::move(event));
    return settle();
  }
  if (admission_) {
    return end_request(
        id, ExitCode::refused,
        fmt::format("{} was not changed: another request of it waits for its turn", line_.name));
  }
  admission_ = Admission{id, std::move(event), options, clock_.monotonic_now(), ""};
  try_admission();
}

void Keeper::try_admission() {
  if (!admission_) return;
  const RequestId id = admission_->request;
  const auto refuse = [&](const std::string& why) {
    admission_.reset();
    execute(Step{"attempt.not_admitted", {{"why", why}}, true});
    end_request(id, ExitCode::refused, fmt::format("{} was not changed: {}", line_.name, why));
  };
  const Instance* owner = component_->find(component_->owner());
  if (component_->phase() != Phase::serving || owner == nullptr) {
    post(std::exchange(admission_, std::nullopt)->event);  // it says what it does instead
    return settle();
  }
  const control::AttemptOptions& options = admission_->options;
  const AttemptSlots slots = attempt_slots();
  const auto holders = slots.holders();
  const HostVerdict verdict = check_host(figures_of(owner->pid, holders), options.max_load_percent);
  if (!verdict.fits && !options.force) {
    return refuse(verdict.text + ". Add --force to try it all the same");
  }
  auto slot = slots.take(options.max_parallel,
                         {line_.name, ::getpid(), options.force ? 0 : verdict.needed_bytes});
  if (!slot) return refuse(slot.error().to_string());
  if (*slot) {
    slot_ = *std::move(*slot);
    execute(Step{"attempt.admitted", {{"figures", verdict.text}}, false});
    post(std::exchange(admission_, std::nullopt)->event);
    return settle();
  }
  const std::string behind =
      fmt::format("{} run at once (--max-parallel): {}",
                  control::counted(options.max_parallel, "attempt"), names_of(holders));
  const base::MonotonicTime now = clock_.monotonic_now();
  if (now - admission_->since >= std::chrono::milliseconds(options.turn_ms)) {
    return refuse(fmt::format("it was not its turn within {}: {}",
                              control::seconds_text(options.turn_ms * 1'000'000ULL), behind));
  }
  if (behind != admission_->told) {
    admission_->told = behind;
    execute(Step{"attempt.waits", {{"behind", behind}}, false});
    server_.send(id, queued_reply(behind), ControlServer::Weight::needed);
  }
  (void)loop_.call_at(now + kLookAgain, [this] { try_admission(); });
}

void Keeper::release_slot() {
  if (slot_ && !component_->attempt()) slot_.reset();
}

}  // namespace segue::keeper
