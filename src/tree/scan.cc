// SPDX-License-Identifier: Apache-2.0
#include "tree/scan.h"

#include <utility>
#include <vector>

#include "tree/beneath.h"
#include "tree/contents.h"
#include "tree/listing.h"

namespace segue::tree {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using delta::EntryType;

Result<void> first_error(const std::vector<Found>& files) {
  for (const Found& file : files) {
    if (file.error) return fail(*file.error);
  }
  return {};
}

// What was added or removed behind the scan's back.
Result<void> check_directories(const Beneath& beneath, const std::vector<Found>& files) {
  for (const Found& file : files) {
    if (file.entry.type != EntryType::directory || file.is_special) continue;
    SEGUE_ASSIGN(const os::UniqueFd fd, beneath.open(file.entry.path, O_PATH | O_DIRECTORY));
    SEGUE_ASSIGN(const struct stat status, beneath.status(fd.get(), file.entry.path));
    if (stamp_of(status) == file.stamp) continue;
    return fail(ErrorCode::aborted,
                "{}/{} changed while the tree was read: end what writes there, and try again",
                shown(beneath.directory()), shown(file.entry.path));
  }
  return {};
}

}  // namespace

Result<delta::Manifest> scan_tree(const std::string& directory, const ScanOptions& options,
                                  const Progress& progress) {
  SEGUE_ASSIGN(Beneath beneath, Beneath::open(directory));
  SEGUE_ASSIGN(std::vector<Found> files, list(beneath));
  SEGUE_TRY(first_error(files));
  read_contents(beneath, files, {.threads = options.threads, .wanted = {}}, progress);
  SEGUE_TRY(first_error(files));
  SEGUE_TRY(check_directories(beneath, files));
  std::vector<delta::Entry> entries;
  entries.reserve(files.size());
  for (Found& file : files) entries.push_back(std::move(file.entry));
  return delta::make_manifest(std::move(entries));
}

}  // namespace segue::tree
