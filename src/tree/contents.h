// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "tree/beneath.h"
#include "tree/listing.h"
#include "tree/scan.h"

namespace segue::tree {

struct ReadOptions {
  unsigned threads = 0;  // as in ScanOptions
  bool stop_at_error = true;
  std::function<bool(std::size_t)> wanted;  // by number in the list; nothing: all
};

// Fills in content, holes and attributes of the regular files in the list, each in `error` if it
// cannot be read, or is no more what was listed.
void read_contents(const Beneath& beneath, std::vector<Found>& files, const ReadOptions& options,
                   const Progress& progress);

// Where a file of that size stores nothing. What is beyond kMaxHoles counts as stored.
base::Result<std::vector<delta::Hole>> holes_of(int fd, std::uint64_t size_bytes,
                                                const Beneath& beneath, std::string_view path);

}  // namespace segue::tree
