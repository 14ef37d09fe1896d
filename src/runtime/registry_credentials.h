// SPDX-License-Identifier: Apache-2.0
// Credentials for a registry, from the file in which `docker login` and `podman login` keep them,
// as engines want them. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace segue::runtime {

// The host of NAME[:TAG|@DIGEST]; Docker's own registry when the name has none.
std::string registry_of(std::string_view reference);

// The field X-Registry-Auth for `registry`; nullopt: the file has none for it. invalid_argument: it
// is no such file; failed_precondition: it names a program that keeps them instead.
base::Result<std::optional<std::string>> registry_auth(std::string_view file,
                                                       const std::string& registry);

}  // namespace segue::runtime
