// SPDX-License-Identifier: Apache-2.0
// For tests only: code that runs in a process of its own.
#pragma once

#include <functional>

namespace segue::handoff::test {

// Runs `body` in a forked child. True if it returned without a test failure; the child's messages
// go to stderr.
bool holds_in_child(const std::function<void()>& body);

}  // namespace segue::handoff::test
