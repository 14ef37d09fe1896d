// SPDX-License-Identifier: Apache-2.0
// What a place remembers of its trees, as a value. Where each of them is at the moment is not
// remembered but looked up: a tree is known by its directory's identity, which a rename keeps.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "delta/digest.h"

namespace segue::staging {

// Tells a directory from every other one of its filesystem, whatever its name is.
struct DirectoryId {
  std::uint64_t inode = 0;
  std::int64_t born_ns = 0;  // since the epoch; 0 where the filesystem does not know
  friend bool operator==(const DirectoryId&, const DirectoryId&) = default;
};
// not_found: there is nothing at `path`. failed_precondition: it is not a directory.
base::Result<DirectoryId> directory_id(const std::string& path);

struct TreeRecord {
  std::uint64_t number = 0;  // names its files: NUMBER.manifest
  DirectoryId directory;
  std::string component;  // empty, like `version`: it did not come from a library
  std::string version;
  std::optional<delta::Digest> root;  // nothing: it was never read
  std::uint64_t bytes = 0;
  std::uint64_t files = 0;
  friend bool operator==(const TreeRecord&, const TreeRecord&) = default;

  // "chat 1.2.3", or "a tree of unknown origin".
  [[nodiscard]] std::string name() const;
};

// A switch that was begun: which tree is live tells whether it happened.
struct Intent {
  std::optional<std::uint64_t> from;  // nothing: there was no live tree
  std::uint64_t to = 0;
  friend bool operator==(const Intent&, const Intent&) = default;
};

struct PlaceState {
  std::uint64_t next_number = 1;
  std::vector<TreeRecord> trees;          // the oldest first
  std::optional<std::uint64_t> previous;  // what an undo brings back
  std::optional<Intent> intent;
  friend bool operator==(const PlaceState&, const PlaceState&) = default;

  [[nodiscard]] const TreeRecord* find(std::uint64_t number) const;
  [[nodiscard]] TreeRecord* find(std::uint64_t number);
  [[nodiscard]] const TreeRecord* find(const DirectoryId& directory) const;
  void remove(std::uint64_t number);
};

// After a crash: takes the intent back, or makes it the truth, as the live tree says.
void settle(PlaceState& state, const std::optional<DirectoryId>& live);

std::string encode(const PlaceState& state);
// data_loss says what is wrong.
base::Result<PlaceState> decode_state(std::string_view bytes);

}  // namespace segue::staging
