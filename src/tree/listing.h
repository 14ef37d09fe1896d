// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "delta/manifest.h"
#include "tree/beneath.h"

namespace segue::tree {

// What was found at a path. Of a regular file `entry` has neither content, holes nor attributes
// yet.
struct Found {
  delta::Entry entry;
  FileStamp stamp;
  bool is_special = false;           // a device, fifo or socket: it has no entry in a manifest
  std::optional<base::Error> error;  // what stands between it and its content
};

// What a file is, for a person: "a fifo".
std::string_view type_name(mode_t mode);

// The names in an open directory, in the order of their bytes, without "." and "..".
base::Result<std::vector<std::string>> names_in(os::UniqueFd fd, const Beneath& beneath,
                                                std::string_view path);

// Everything below, the root directory first. What cannot be looked at is named by its `error`; an
// error here is one that leaves nothing to look at, or more than kMaxEntries entries.
base::Result<std::vector<Found>> list(Beneath& beneath);

}  // namespace segue::tree
