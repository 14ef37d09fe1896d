// SPDX-License-Identifier: Apache-2.0
// What travels to a host that has one release and needs another, file by file, and why.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "library/library.h"

namespace segue::library {

struct FileDifference {
  enum class Kind : std::uint8_t {
    moved,       // its content is in the old tree, under another path
    patched,     // made from a file of the old tree
    fresh,       // nothing like it in the old tree
    attributes,  // the same content; mode, attributes, holes or type differ
    removed,
  };
  Kind kind = Kind::patched;
  std::string path;  // in the new tree; of removed ones in the old one
  std::string from;  // moved, patched: the old tree's path
  std::uint64_t size_bytes = 0;
  std::uint64_t coded_bytes = 0;    // of the delta, for this file alone
  std::uint64_t literal_bytes = 0;  // that the old file does not have
  std::uint64_t operations = 0;
  bool in_bulk = false;  // its literals are compressed together with those of other files
};
std::string_view to_string(FileDifference::Kind kind);

struct ReleaseDiff {
  Release from;
  Release to;
  PairReport pair;
  bool is_stored = false;            // the library has this delta
  std::uint64_t contents_bytes = 0;  // without a delta: the list of chunks,
  std::uint64_t chunk_bytes = 0;     // and those that the old tree lacks
  std::uint64_t same_files = 0;
  std::vector<FileDifference> files;  // by the bytes that they cost, most first; then by path
};

// Computes the delta if the library did not keep what it is made of; then both trees lie below
// `folder` for a while.
base::Result<ReleaseDiff> diff_releases(const Library& library, const Release& from,
                                        const Release& to, const std::string& folder,
                                        const WorkSink& progress = {});

}  // namespace segue::library
