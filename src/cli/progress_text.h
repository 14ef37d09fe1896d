// SPDX-License-Identifier: Apache-2.0
// What a keeper reports, for a person. Pure.
#pragma once

#include <string>
#include <vector>

#include "cli/output.h"

namespace segue::cli {

// One line: how far an attempt is. `attempt` is as the keeper reports it.
std::string progress_line(const Json& attempt, const std::string& keeper_phase);
// Only what a log needs: changes with the phase, not with every byte.
std::string progress_key(const Json& attempt, const std::string& keeper_phase);

// A component's status, on several lines.
std::vector<std::string> status_lines(const Json& status);
// … on one.
std::string status_line(const Json& status);

std::string history_line(const Json& attempt);
std::string event_line(const Json& event);

}  // namespace segue::cli
