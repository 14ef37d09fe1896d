// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "keeper/contract/program_side.h"
#include "keeper/types.h"

namespace segue::keeper {

// A version that the component can be handed back to.
struct Previous {
  control::Launch launch;
  std::string version;
  std::string forms = {};  // what it declares, as in HELLO; empty: not known

  bool operator==(const Previous&) const = default;
};

struct SavedSide {
  Generation generation = 0;
  ProgramSide side;
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
  std::vector<Attempt> closing;    // committed, and not answered while their predecessors drain

  // Where the program does not link libsegue: whoever comes next goes on from any phase.
  std::vector<SavedSide> sides;
  std::optional<MonotonicTime> deadline;  // of the phase
  std::optional<MonotonicTime> stopped_at;
  bool contract_found = false;  // by what the program did
};

}  // namespace segue::keeper
