// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "base/error.h"

namespace segue::os {

// The whole file. resource_exhausted when it is longer than `max_bytes`.
base::Result<std::string> read_file(const std::string& path, std::size_t max_bytes);

// Replaces the file, so that whoever opens it, even after a power failure, finds the old contents
// or the new, whole: writes a neighbour, fsyncs it, renames it, fsyncs the directory. An error from
// the last step is unknown_outcome: the new contents are there, perhaps not for good.
enum class Durability {
  buffered,  // survives the process
  synced,    // survives a power failure
};
// `buffered`: whole for whoever opens it before the next boot, and perhaps empty after a power
// failure.
base::Result<void> write_file_atomically(const std::string& path, std::string_view contents,
                                         mode_t mode = 0600,
                                         Durability durability = Durability::synced);

// The same for a file that is not there yet: already_exists otherwise, whoever made it.
base::Result<void> add_file_atomically(const std::string& path, std::string_view contents,
                                       mode_t mode = 0600);

// Adds to the end of the file, which is made (0600) if it is missing. After an error a part of
// `bytes` may have been written; a reader of the file has to recognise a torn end.
base::Result<void> append_to_file(const std::string& path, std::string_view bytes,
                                  Durability durability);

// Makes the directory and what is missing above it, each 0700. When it exists, it has to be a real
// directory that belongs to this user and that nobody else can enter: otherwise
// failed_precondition.
base::Result<void> ensure_private_directory(const std::string& path);

}  // namespace segue::os
