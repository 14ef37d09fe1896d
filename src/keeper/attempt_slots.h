// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "os/unique_fd.h"

namespace segue::keeper {

// How many attempts of all components of this user run at once: one lock file per slot, in one
// directory (0700). A slot is free again when its holder closes it or dies.
class AttemptSlots {
 public:
  static constexpr std::uint32_t kMaxSlots = 64;

  struct Holder {
    std::string name;  // the component
    std::int32_t pid = 0;
    std::uint64_t promised_bytes = 0;
  };

  explicit AttemptSlots(std::string directory) : directory_(std::move(directory)) {}

  // One of the first `count` slots, or none: they are all held.
  base::Result<std::optional<os::UniqueFd>> take(std::uint32_t count, const Holder& holder) const;
  // Who holds a slot now.
  [[nodiscard]] std::vector<Holder> holders() const;

 private:
  [[nodiscard]] std::string path_of(std::uint32_t slot) const;

  std::string directory_;
};

}  // namespace segue::keeper
