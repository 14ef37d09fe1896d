// SPDX-License-Identifier: Apache-2.0
// A rollout as a tree: waves, hosts and what they are at, shares, gates, connections, time left.
// Pure: what the server answers to GET /v1/rollouts/ROLLOUT, as lines.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cli/output.h"
#include "cli/screen_text.h"

namespace segue::cli {

struct TreeView {
  std::size_t columns = 0;   // 0: lines are as long as they are
  std::size_t rows = 0;      // at most so many lines; 0: as many as there are
  bool is_utf8 = true;       // otherwise nothing but ASCII is drawn; names are shown as they are
  std::uint64_t now_ms = 0;  // since 1970, by the clock of this host
};

// No line is wider than `columns`, and there are never more than `rows` of them. What finds no room
// is counted: first hosts that are far from the present step, then steps.
std::vector<ScreenLine> rollout_tree(const Json& progress, const TreeView& view);

// What an instance is at: the phase of its handoff, or how it stands.
std::string instance_stage(const Json& instance);
// "moved 120, lost 0, blackout 3.1 ms"; empty: nothing was handed over.
std::string handoff_text(const Json& instance);
// "about 4 min left"; empty: nobody knows.
std::string time_left_text(const Json& progress);
// "running, paused", of a whole rollout.
std::string phase_text(const Json& progress);
// The step under which an instance is shown: a canary's slots are of its first step.
std::size_t step_shown(const Json& progress, const Json& instance);

}  // namespace segue::cli
