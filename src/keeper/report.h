// SPDX-License-Identifier: Apache-2.0
// The keeper's knowledge as JSON (docs/adr/0001-control-protocol.md). Pure.
#pragma once

#include <string>
#include <vector>

#include "base/time.h"
#include "control/exit_code.h"
#include "keeper/decider.h"

namespace segue::keeper {

struct Now {
  base::MonotonicTime monotonic{};
  base::RealTime real{};
};

// 2026-01-31T12:00:00.123Z
std::string utc_text(base::RealTime time);

// What the decider does not know.
struct Surroundings {
  std::int32_t keeper_pid = 0;
  base::MonotonicTime keeper_since{};
  std::uint32_t keeper_replaced = 0;  // by another program, since then
  std::uint32_t epoch = 0;
  std::vector<std::string> listeners;
  std::vector<std::string> stored;  // descriptors that the program left with the keeper
  std::uint64_t log_lines_lost = 0;
};

std::string status_json(const Decider& component, const Surroundings& surroundings, const Now& now);
// Of an attempt that is under way, or has ended.
std::string attempt_json(const Attempt& attempt, const Now& now);
// One step; also a line of the step log.
std::string step_json(const Step& step, std::uint64_t number, const Now& now);

// ---- Replies: one message each. `json` is an object as above.
std::string progress_reply(const Decider& component, const Attempt& attempt, const Now& now);
std::string wrapped_reply(std::string_view field, std::string_view json);
std::string last_reply(std::string_view name, control::ExitCode exit, std::string_view text,
                       const Attempt* attempt, const Now& now);
std::string last_reply_with(std::string_view field, std::string_view json);
std::string queued_reply(std::string_view behind);

}  // namespace segue::keeper
