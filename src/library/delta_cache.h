// SPDX-License-Identifier: Apache-2.0
// Deltas that were computed before, by the two trees that they lie between.
#pragma once

#include <optional>
#include <string>

#include "base/error.h"
#include "library/disk.h"
#include "library/library.h"

namespace segue::library {

class DeltaCache {
 public:
  // `disk` is that of the library's directory, and outlives it.
  explicit DeltaCache(const Disk& disk);

  // Nothing: not computed so far, or what was kept of it is damaged.
  [[nodiscard]] std::optional<PairReport> find(const delta::Digest& base_root,
                                               const delta::Digest& target_root) const;
  // The delta's object has to be durable.
  base::Result<void> add(const delta::Digest& base_root, const delta::Digest& target_root,
                         const PairReport& report) const;
  // Forgets those whose object `stays` does not say yes to.
  base::Result<void> keep_only(const std::function<bool(const ObjectRef&)>& stays) const;

 private:
  [[nodiscard]] std::string folder() const;
  [[nodiscard]] std::optional<PairReport> read(const std::string& name) const;

  const Disk& disk_;
};

}  // namespace segue::library
