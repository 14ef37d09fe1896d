// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "agent/child_run.h"

namespace segue::agent {

// What a command of `segue` that was run with --json said in the end, as a person reads it.
std::string text_of(const ChildRun::Result& result);

}  // namespace segue::agent
