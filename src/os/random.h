// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

namespace segue::os {

// From the kernel's generator (getrandom(2)), for secrets and names that nobody else has.
std::string random_bytes(std::size_t count);
// Lower-case hexadecimal digits.
std::string random_hex(std::size_t digits);

}  // namespace segue::os
