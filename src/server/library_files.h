// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"
#include "fetch/served_file.h"
#include "os/unique_fd.h"

namespace segue::server {

struct OpenFile {
  os::UniqueFd fd;
  std::uint64_t size_bytes = 0;
  std::string tag;  // an entity tag (RFC 9110, section 8.8.3)
};

// The files of one library, below its directory and nowhere else. Threads: any.
class LibraryFiles {
 public:
  // not_found: there is no library.
  static base::Result<LibraryFiles> open(const std::string& directory);

  // not_found: no such regular file; symlinks are not followed.
  [[nodiscard]] base::Result<OpenFile> find(const fetch::ServedFile& file) const;

 private:
  explicit LibraryFiles(os::UniqueFd directory) : directory_(std::move(directory)) {}
  os::UniqueFd directory_;
};

}  // namespace segue::server
