// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "base/error.h"
#include "delta/delta.h"
#include "tree/beneath.h"

namespace segue::tree {

// The regular files of a tree on disk, mapped. What is mapped is not read yet: a disk that fails,
// and a file that is cut off meanwhile, raise SIGBUS in whoever looks at the bytes. Threads: any.
class DiskTree final : public delta::TreeReader {
 public:
  // `manifest` says what is there, and outlives this.
  static base::Result<DiskTree> open(const std::string& directory, const delta::Manifest& manifest);

  // data_loss: the file has another size, or is none. An empty file has no bytes to map.
  base::Result<std::unique_ptr<delta::FileBytes>> open(std::size_t entry) override;

  // The file of a regular entry, for reading; checked likewise.
  [[nodiscard]] base::Result<os::UniqueFd> open_file(std::size_t entry) const;

  [[nodiscard]] const delta::Manifest& manifest() const { return *manifest_; }
  [[nodiscard]] Beneath& files() { return files_; }

 private:
  DiskTree(Beneath files, const delta::Manifest& manifest)
      : files_(std::move(files)), manifest_(&manifest) {}

  Beneath files_;
  const delta::Manifest* manifest_;
};

}  // namespace segue::tree
