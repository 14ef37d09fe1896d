// SPDX-License-Identifier: Apache-2.0
// The new bytes of a tree, written into a new directory by a sandboxed process: from a delta, or
// from chunks. What is shared with the base comes afterwards (tree::complete_tree()).
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "delta/manifest.h"
#include "library/content_stream.h"
#include "library/contents.h"
#include "library/release.h"
#include "staging/sandbox.h"
#include "tree/disk_tree.h"

namespace segue::staging {

// A tree on this host, and what is in it.
struct Base {
  std::string directory;
  delta::Manifest manifest;
  delta::Digest root;
};

struct NewTree {
  std::string directory;      // to be made
  std::string manifest_file;  // …
};

// The manifest that came out is the release's: its root was checked here. Errors as of
// delta::apply_delta() and run_sandboxed().
base::Result<delta::Manifest> rebuild_from_delta(const std::string& delta_file, const Base& base,
                                                 const library::Release& release,
                                                 const NewTree& tree, const MadeBytes& on_made);

// Directories and links of a tree that has every file of its base: there are no new bytes.
base::Result<void> begin_copy(const delta::Manifest& manifest, const NewTree& tree);

// Where each chunk of a release comes from.
struct ChunkPlan {
  library::ContentStream stream;
  std::vector<bool> is_segment_wanted;  // the base lacks its content
  std::vector<bool> is_chunk_wanted;    // it holds a part of such a segment
  std::vector<std::size_t> to_fetch;    // chunks that are wanted and that the base's stream lacks
  std::map<delta::Digest, std::uint64_t> in_base;  // offset in the base's stream, of those it has
  std::uint64_t fetch_bytes = 0;
};
// Reads all of the base, where there is one, if it has something that is lacking. data_loss: the
// contents do not fit together.
base::Result<ChunkPlan> plan_chunks(const library::Contents& contents, const Base* base);

// `chunk_directory` holds the objects that the plan fetches, by their names.
base::Result<void> rebuild_from_chunks(const library::Contents& contents, const ChunkPlan& plan,
                                       const std::string& chunk_directory, const Base* base,
                                       const NewTree& tree, const MadeBytes& on_made);

}  // namespace segue::staging
