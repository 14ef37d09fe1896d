// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "delta/manifest.h"
#include "tree/beneath.h"
#include "tree/scan.h"

namespace segue::tree {

struct Difference {
  enum class Kind : std::uint8_t {
    missing,
    unexpected,
    type,
    mode,
    content,
    link_target,
    links,  // names of one file that should be several, or the other way round
    attributes,
    unreadable,
  };
  Kind kind = Kind::missing;
  std::string path;    // as in a manifest
  std::string detail;  // for a person: what is, and what should be

  // "bin/chat: content: …", with the path printable.
  [[nodiscard]] std::string to_string() const;
};
std::string_view to_string(Difference::Kind kind);

struct VerifyOptions {
  unsigned threads = 0;  // as in ScanOptions
  std::size_t max_differences = 1000;
  // Stamps of the manifest's entries from an earlier verification; a file whose stamp is still the
  // same is not read. Nothing: all are read.
  const std::vector<FileStamp>* known = nullptr;
};

struct Verification {
  std::vector<Difference> differences;  // in path order, the first of all
  std::uint64_t difference_count = 0;
  std::uint64_t unexpected_count = 0;  // of these: what is there besides
  std::vector<FileStamp> stamps;       // of the manifest's entries, as they were found
  std::uint64_t bytes_read = 0;

  [[nodiscard]] bool matches() const { return difference_count == 0; }
  // Everything that should be there is, as it should be.
  [[nodiscard]] bool has_all() const { return difference_count == unexpected_count; }
};

// Compares a tree on disk with its manifest. Where it stores holes is not compared: that is up to
// the filesystem. An error: the directory cannot be read at all.
base::Result<Verification> verify_tree(const std::string& directory,
                                       const delta::Manifest& manifest,
                                       const VerifyOptions& options = {},
                                       const Progress& progress = {});

}  // namespace segue::tree
