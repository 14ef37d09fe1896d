// SPDX-License-Identifier: Apache-2.0
// Containers that are there whoever asked for them first: an agent that was killed, at any point,
// finds again what it has made.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "runtime/engine.h"

namespace segue::runtime {

enum class Adoption {
  created,   // now; it has not been started
  adopted,   // it was there, just so: look at its phase
  outdated,  // it is of this component and slot, but not as the spec is: remove it by its id first
};
struct Ensured {
  Adoption adoption = Adoption::created;
  ContainerState container;
};

// What a container that has the spec's name is to it. already_exists: it belongs to somebody else,
// and is left alone. Pure.
base::Result<Adoption> judge(const ContainerSpec& spec, const ContainerState& found);

// Makes the container unless it is there. `engine` outlives the call.
[[nodiscard]] CallHandle ensure_container(ContainerEngine& engine, const ContainerSpec& spec,
                                          OnAnswer<Ensured> on_answer);

// Makes it unless it is there, and starts it unless it runs. A start that the engine fails at is
// tried once more with a new container in its place: an engine that was killed in the middle of a
// start may never be able to start that one again. failed_precondition: it is outdated.
[[nodiscard]] CallHandle ensure_running(ContainerEngine& engine, const ContainerSpec& spec,
                                        OnAnswer<Ensured> on_answer);

struct Pruned {
  std::vector<std::string> removed;  // names
  std::vector<base::Error> errors;   // of those that could not be
};
// Removes the containers that bear Segue's label, do not run, and are not wanted. Others are never
// touched, whatever their names.
using IsWanted = std::function<bool(const ContainerSummary& container)>;
[[nodiscard]] CallHandle prune_containers(ContainerEngine& engine, IsWanted is_wanted,
                                          OnAnswer<Pruned> on_answer);

}  // namespace segue::runtime
