// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "os/paths.h"
#include "os/unique_fd.h"

namespace segue::cli {

// The components of this user, as their folders show them.
class ComponentFolders {
 public:
  explicit ComponentFolders(os::Directories directories) : directories_(std::move(directories)) {}
  static base::Result<ComponentFolders> of_this_user();

  [[nodiscard]] std::string runtime(std::string_view name) const;
  [[nodiscard]] std::string state(std::string_view name) const;
  // Those with a folder in the runtime directory, in order.
  [[nodiscard]] std::vector<std::string> names() const;

  // A connection to the component's keeper. Where there is none the error says why, and what to do:
  // no such component (near names are named), not running, keeper dead while instances serve, or a
  // folder that others could enter.
  [[nodiscard]] base::Result<os::UniqueFd> connect(const std::string& name) const;

 private:
  [[nodiscard]] base::Error why_not_connected(const std::string& name) const;

  os::Directories directories_;
};

}  // namespace segue::cli
