// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "staging/place.h"
#include "tree/verify.h"

namespace segue::staging {

enum class Check : std::uint8_t {
  changed,     // files whose stamps moved since they were verified are read again
  everything,  // all files are read
  nothing,     // for who needs the tree however it is
};

struct SwitchOptions {
  Check check = Check::changed;
  bool dry_run = false;
  tree::Progress progress;
};

struct SwitchReport {
  std::optional<TreeRecord> from;  // nothing: there was no live tree
  TreeRecord to;
  bool was_live = false;  // already; nothing was done
};

// Makes a tree that waits the live one, and the live one the previous one: one rename, so that at
// no time there is none. A live one of that name goes on, unless it was staged anew since because
// it is damaged. `version` empty: the only one that waits; `component` empty: whichever. No
// network, no library and no metadata is needed. not_found: no such tree waits.
// failed_precondition: more than one does. data_loss names files that are not what they should be.
// With these nothing was changed; unknown_outcome: the tree is live, but perhaps not after a power
// failure.
base::Result<SwitchReport> switch_to(Place& place, const std::string& component,
                                     const std::string& version, const SwitchOptions& options = {});
// Makes the previous tree live again, and the live one the previous one.
base::Result<SwitchReport> undo(Place& place, const SwitchOptions& options = {});

// sha256:HEX of what the tree has to have at `path`, symbolic links of the tree followed; nothing
// where that is no file of it. An error: what the tree has to be is not known.
base::Result<std::optional<std::string>> signed_digest(const Place& place, const TreeRecord& tree,
                                                       const std::string& path);

struct TreeCheck {
  PlacedTree tree;
  std::optional<base::Error>
      error;  // it cannot be compared: it was never read, or its manifest is gone
  tree::Verification verification;
};
// Compares every tree of the place with what it has to be.
std::vector<TreeCheck> verify(const Place& place, Check check, const tree::Progress& progress = {});

// data_loss, naming the first differences, unless the tree is what it has to be; one that is live
// or was may hold more. New stamps are kept.
base::Result<void> check_tree(const Place& place, const PlacedTree& tree, Check check,
                              const tree::Progress& progress = {});

// For a message: at most so many differences, and how many more there are.
std::string differences_text(const tree::Verification& verification, std::size_t max_named = 3);

}  // namespace segue::staging
