// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "library/publisher.h"
#include "tree/disk_tree.h"

namespace segue::library {

// A tree on disk, read and not mapped: somebody may cut its files off meanwhile.
class DiskSource final : public FileSource {
 public:
  // `manifest` is of that tree, and outlives it.
  static base::Result<DiskSource> open(const std::string& directory,
                                       const delta::Manifest& manifest);

  base::Result<void> read(std::size_t entry, const Piece& piece) override;

 private:
  explicit DiskSource(tree::DiskTree files) : files_(std::move(files)) {}
  tree::DiskTree files_;
};

}  // namespace segue::library
