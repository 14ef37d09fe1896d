// SPDX-License-Identifier: Apache-2.0
// Which chunks a library holds, by what they hold: so that what a release has in common with any
// other is neither compressed nor stored again. A cache: without it, or with a part of it damaged,
// more is stored than needs to be, and nothing else.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "library/contents.h"
#include "library/disk.h"

namespace segue::library {

// Memory: about 120 bytes per chunk, that is 2 KiB per MiB of distinct contents.
class ChunkCache {
 public:
  // `disk` is that of the library's directory, and outlives it.
  explicit ChunkCache(const Disk& disk);

  base::Result<void> load();
  [[nodiscard]] const Chunk* find(const delta::Digest& content) const;
  // Known from now on, and kept with the next save().
  void add(const Chunk& chunk);
  // The chunks' objects have to be durable.
  base::Result<void> save();
  // Forgets what `stays` does not say yes to, and saves what is left.
  base::Result<void> keep_only(const std::function<bool(const Chunk&)>& stays);

 private:
  [[nodiscard]] std::string path() const;
  base::Result<void> rewrite();

  const Disk& disk_;
  std::map<delta::Digest, Chunk> chunks_;
  std::vector<Chunk> unsaved_;
  bool damaged_ = false;  // something in the file is not a record
};

inline constexpr std::string_view kCacheFolder = "cache";

}  // namespace segue::library
