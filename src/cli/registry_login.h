// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/error.h"

namespace segue::cli {

// The file in which `podman login` or `docker login` has kept credentials for the registry of
// `image`: of $REGISTRY_AUTH_FILE, podman's and docker's own the first that has some
// (containers-auth.json(5)). Empty: none has, or another program keeps them. invalid_argument: it
// is no such file.
base::Result<std::string> registry_login(const std::string& image);

}  // namespace segue::cli
