// SPDX-License-Identifier: Apache-2.0
// Fault points for tests. UNSAFE: never set SEGUE_UNSAFE_FAULT on a service that matters.
//
//   SEGUE_UNSAFE_FAULT=ROLE:POINT:ACTION[,...]   predecessor:offered:kill
//
// Roles: predecessor, successor. Points: meeting, background, rehearsal, foreground, offered,
// probation, commit, fencing (its limit is reached). Actions: kill (SIGKILL), stop (SIGSTOP), error
// (the step fails).
#pragma once

#include <string_view>

namespace segue::handoff {

// True if the step at this point shall fail. Each fault strikes once in a process.
bool fault(std::string_view role, std::string_view point);

}  // namespace segue::handoff
