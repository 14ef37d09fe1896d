// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "keeper/types.h"
#include "os/unique_fd.h"

namespace segue::keeper {

// What instances print, one file per generation: DIRECTORY/output.GENERATION.log. Instances write
// to the file themselves, so they neither stall nor fail while the keeper is stopped or dead. At
// the bound, the newer half moves to output.GENERATION.log.1; what is written at that moment may be
// lost.
class OutputFiles {
 public:
  static constexpr std::uint64_t kMaxBytes = std::uint64_t{8} << 20;  // each
  static constexpr std::size_t kMaxFiles = 8;                         // the newest generations

  explicit OutputFiles(std::string directory) : directory_(std::move(directory)) {}

  [[nodiscard]] std::string prefix() const { return directory_ + "/output."; }
  // The highest generation that has a file, so that a new keeper goes on counting.
  [[nodiscard]] Generation last_generation() const;
  // Opens the file of `generation` for appending, and removes the oldest files beyond the bound.
  base::Result<os::UniqueFd> open(Generation generation);
  // Keeps the file of `generation` within its bound.
  void trim(Generation generation) const;

 private:
  [[nodiscard]] std::string path_of(Generation generation) const;
  [[nodiscard]] std::vector<Generation> generations() const;

  std::string directory_;
};

}  // namespace segue::keeper
