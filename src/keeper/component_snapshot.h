// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "keeper/types.h"

namespace segue::keeper {

// A version that the component can be handed back to.
struct Previous {
  control::Launch launch;
  std::string version;

  bool operator==(const Previous&) const = default;
};

// What has to outlive the keeper's program, or the keeper itself, for the next one to go on.
struct ComponentSnapshot {
  Phase phase = Phase::idle;
  MonotonicTime phase_since{};
  Generation last_generation = 0;
  AttemptId last_attempt = 0;
  Generation owner = 0;
  std::string service;
  control::Launch owner_launch;
  std::deque<Previous> previous;
  std::uint32_t restarts_in_row = 0;
  std::vector<Instance> instances;
  std::optional<Attempt> attempt;  // under way; nothing of it is kept but what names it
  std::optional<Attempt> undone;   // … and what that one undoes
};

}  // namespace segue::keeper
