// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

#include "base/assert.h"

namespace segue::os {

// A new empty directory (0700), removed with all it holds at the end; for tests. Its path is short,
// so that a Unix socket fits below it.
class TempDirectory {
 public:
  explicit TempDirectory(const std::string& parent = "/tmp") : path_(parent + "/segue-XXXXXX") {
    SEGUE_ASSERT(::mkdtemp(path_.data()) != nullptr);
  }
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;
  ~TempDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string path(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace segue::os
