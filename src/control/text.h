// SPDX-License-Identifier: Apache-2.0
// Figures as people read them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace segue::control {

std::string with_thousands(std::uint64_t number);            // 1,234,567
std::string milliseconds_text(std::uint64_t ns);             // 0.08 ms, 12.3 ms, 1,250 ms
std::string seconds_text(std::uint64_t ns);                  // 0.02 s, 12.3 s
std::string bytes_text(std::uint64_t bytes);                 // 512 B, 1.2 KiB, 3.4 GiB
std::string version_text(const std::string& version);        // v1 for 1; others as they are
std::string counted(std::uint64_t n, const char* noun);      // 1 round, 3 rounds
std::string some_of(const std::vector<std::string>& names);  // a, b, c, d, e, …

}  // namespace segue::control
