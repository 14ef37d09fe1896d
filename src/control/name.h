// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "base/error.h"

namespace segue::control {

// Under a component's folder in the runtime directory (0700) …
inline constexpr std::string_view kControlSocket = "control.sock";
inline constexpr std::string_view kMetricsSocket = "metrics.sock";    // GET /metrics
inline constexpr std::string_view kKeeperPid = "keeper.pid";          // locked while a keeper lives
inline constexpr std::string_view kInstancesLock = "instances.lock";  // … while an instance lives
inline constexpr std::string_view kInstances = "instances";           // their pids, for people
inline constexpr std::string_view kRendezvous = "instances.sock";  // where they find a new keeper
inline constexpr std::string_view kContainers = "containers";  // … GENERATION.json: an instance's
// … and under its folder in the state directory.
inline constexpr std::string_view kStepLog = "steps.log";
inline constexpr std::string_view kHistoryLog = "history.log";
inline constexpr std::string_view kKeeperLog = "keeper.log";
inline constexpr std::string_view kKeeperState = "keeper.state";  // for the keeper after a dead one

inline constexpr std::size_t kMaxNameBytes = 63;

// A component's name is a folder's name and part of a socket's path: 1 to 63 of [A-Za-z0-9._-],
// the first one a letter or a digit. The error says which rule is broken, and `what` it would name.
base::Result<void> check_name(std::string_view name, std::string_view what = "a component");

inline constexpr std::size_t kMaxVersionBytes = 100;

// A version of a component is part of paths, of URLs and of command lines: 1 to 100 of
// [A-Za-z0-9._+~-], the first one a letter or a digit. The error says which rule is broken.
base::Result<void> check_version(std::string_view version);

}  // namespace segue::control
