// SPDX-License-Identifier: Apache-2.0
// From the command line to what writes to a release library, and to its URL.
#pragma once

#include <string>

#include "base/error.h"
#include "cli/library_options.h"
#include "library/publisher.h"

namespace segue::cli {

// `doing` names the command for others who wait for the library.
base::Result<library::Publisher::Settings> publisher_settings(const LibraryOptions& options,
                                                              const std::string& doing);

// The bytes of --root; nothing without it.
base::Result<std::optional<std::string>> root_bytes_of(const LibraryOptions& options);

bool is_url(const std::string& library);
// A directory of this host is a library too.
std::string library_url(const std::string& library);

}  // namespace segue::cli
