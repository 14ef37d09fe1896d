// SPDX-License-Identifier: Apache-2.0
// One segue.yaml may say how a component is built and how it runs. Each reader knows its own keys
// and leaves the other's alone.
#pragma once

#include <array>

namespace segue::config {

// `name` is both readers'.
inline constexpr std::array kBuildKeys = {"build",   "test",         "output",
                                          "version", "build_limits", "build_environment"};
inline constexpr std::array kComponentKeys = {
    "command",      "directory",  "environment",  "listen",     "stop",     "signal",
    "health",       "upgrade",    "ready",        "start_s",    "on_crash", "reconnect_per_second",
    "fd_store_max", "watchdog_s", "max_restarts", "nonblocking"};

}  // namespace segue::config
