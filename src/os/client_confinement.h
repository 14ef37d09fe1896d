// SPDX-License-Identifier: Apache-2.0
// What a program has to be left that speaks with servers and keeps files: for confine_files() and
// confine_system_calls().
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "os/confinement.h"

namespace segue::os {

// Files of its own, sockets of `families` (AF_INET, …), threads and time. It starts no processes,
// listens nowhere, signals nobody but itself, and changes no file's mode by its path: as root that
// would reach what confine_files() does not cover.
std::vector<CallRule> client_call_rules(const std::vector<std::uint32_t>& families);

// By which names of hosts are looked up and certificates are checked: those that this host has.
std::vector<std::string> client_readable_paths();

}  // namespace segue::os
