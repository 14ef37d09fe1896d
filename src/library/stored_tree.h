// SPDX-License-Identifier: Apache-2.0
// A release's tree as deltas want it, made from its chunks.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/error.h"
#include "library/content_stream.h"
#include "library/contents.h"
#include "library/object_store.h"

namespace segue::library {

// Holds the stream of contents in one file that has no name, as large as the distinct contents,
// and maps it: nobody can change or shorten it. Threads: any.
class StoredTree final : public delta::TreeReader {
 public:
  // How many bytes more were written.
  using Progress = std::function<void(std::uint64_t bytes)>;
  // Below `folder`, whose disk needs the room. Every chunk and every file's digest is checked:
  // data_loss names the object that is damaged, or the file that is not what the manifest says.
  // `contents` outlives it.
  static base::Result<std::unique_ptr<StoredTree>> open(const ObjectStore& store,
                                                        const Contents& contents,
                                                        const std::string& folder,
                                                        const Progress& progress = {});
  StoredTree(const StoredTree&) = delete;
  StoredTree& operator=(const StoredTree&) = delete;
  ~StoredTree() override;

  base::Result<std::unique_ptr<delta::FileBytes>> open(std::size_t entry) override;
  [[nodiscard]] const delta::Manifest& manifest() const { return manifest_; }

 private:
  explicit StoredTree(const delta::Manifest& manifest) : manifest_(manifest) {}
  base::Result<void> fill(const ObjectStore& store, const Contents& contents,
                          const std::string& folder, const Progress& progress);
  base::Result<void> check_files() const;

  const delta::Manifest& manifest_;
  ContentStream stream_;
  std::map<delta::Digest, std::uint64_t> offsets_;
  const std::uint8_t* bytes_ = nullptr;
};

}  // namespace segue::library
