// SPDX-License-Identifier: Apache-2.0
// What an attempt came to, for people and for scripts. Pure.
#pragma once

#include <string>
#include <string_view>

#include "control/exit_code.h"
#include "keeper/types.h"

namespace segue::keeper {

std::string from_to_text(const Attempt& attempt);  // v1 → v2

// One line for a person, of an attempt that has ended.
std::string outcome_text(std::string_view name, const Attempt& attempt);

control::ExitCode exit_code_of(const Attempt& attempt);

// Connections that the predecessor had and the successor has not.
std::uint64_t connections_lost(const Attempt& attempt);

}  // namespace segue::keeper
