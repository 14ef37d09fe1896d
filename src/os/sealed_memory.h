// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/error.h"
#include "os/unique_fd.h"

namespace segue::os {

// A memfd that holds `bytes` and that nobody can change any more (memfd_create(2), F_ADD_SEALS);
// closed on exec. `name` shows in /proc.
base::Result<UniqueFd> make_sealed_memory(const std::string& name, std::string_view bytes);

// All of it. failed_precondition when `fd` is not a memfd that is sealed against every change,
// resource_exhausted when it holds more than `max_bytes`.
base::Result<std::string> read_sealed_memory(int fd, std::size_t max_bytes);

}  // namespace segue::os
