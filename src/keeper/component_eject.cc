// SPDX-License-Identifier: Apache-2.0
// Leaving: the owner goes on alone, and the keeper ends.
#include <fmt/format.h>

#include <utility>

#include "control/text.h"
#include "handoff/frame.h"
#include "keeper/component.h"

namespace segue::keeper {

using control::ExitCode;

void Component::on(const EjectRequested& event) {
  if (const std::string why = why_not_at_rest(); !why.empty()) {
    return refuse(event.request, "was not ejected", why);
  }
  const Instance& owner = *find(owner_);
  const bool can_be_told =
      (owner.abilities & handoff::kAbilityRelease) != 0 && owner.channel_open && !owner.hung;
  step("eject", {{"generation", fmt::to_string(owner_)}, {"told", can_be_told ? "1" : "0"}}, true);
  if (can_be_told) {
    eject_request_ = event.request;
    set_deadline(kAnswersWithin);
    command(SendRelease{owner_});
    return;
  }
  if (!event.force) {
    refuse(event.request, "was not ejected",
           fmt::format("{} (pid {}) cannot be told to go on alone, as its library is too old or it "
                       "does not answer. With --force the keeper ends all the same: it would serve "
                       "on, but look for no successor; a restart is the way out",
                       control::version_text(owner.label()), owner.pid));
    return;
  }
  eject_request_ = event.request;
  said_released({owner_, 0, Said::released, "", 0});
}

void Component::said_released(const EventReceived& event) {
  if (eject_request_ == 0 || event.generation != owner_) return;
  const Instance& owner = *find(owner_);
  const std::string next =
      event.number == 1
          ? fmt::format("a successor that is started with the directory {} takes over", event.text)
          : "the next version has to be started after its end";
  step("ejected", {{"generation", fmt::to_string(owner_)}, {"directory", event.text}}, true);
  finish(std::exchange(eject_request_, 0), ExitCode::done,
         fmt::format("{} was ejected: {} (pid {}) serves on without a keeper. Nobody restarts it "
                     "after a crash; {}",
                     settings_.name, control::version_text(owner.label()), owner.pid, next));
  command(LetGo{});
  set_phase(Phase::stopped);
  command(Leave{ExitCode::done});
}

}  // namespace segue::keeper
