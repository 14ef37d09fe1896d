// SPDX-License-Identifier: Apache-2.0
// segue-container and segue-confine: what a keeper starts in place of the program that was named.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"

namespace segue::cli {

struct HelperAnswer {
  int exit_code = 0;
  std::string text;
};
// What a helper prints, and how it ends.
base::Result<HelperAnswer> ask_helper(const std::vector<std::string>& words);

// A link at `path` that leads to the helper of this installation, in place of what was there. By
// the name under which it is started one program is told from another.
base::Result<void> make_start_link(const std::string& path, const std::string& helper);

}  // namespace segue::cli
