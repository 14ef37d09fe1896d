// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/error.h"
#include "base/time.h"
#include "os/unique_fd.h"

namespace segue::os {

// One process at a time: a file that is locked while this object lives, and free again when the
// process ends however it ends. What the holder says of itself stands in the file for the others.
class FileLock {
 public:
  // Makes the file (0644) if it is missing. deadline_exceeded after `max_wait`, and names who holds
  // it, as far as that is known.
  static base::Result<FileLock> acquire(const std::string& path, const std::string& holder,
                                        base::Duration max_wait);

 private:
  explicit FileLock(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

}  // namespace segue::os
