// SPDX-License-Identifier: Apache-2.0
#include "library/release_diff.h"

#include <algorithm>
#include <map>
#include <set>

#include "library/delta_cache.h"
#include "library/pair.h"
#include "library/stored_tree.h"

namespace segue::library {
namespace {

using base::Result;
using delta::Digest;
using delta::Entry;
using delta::EntryType;
using delta::FileReport;
using delta::Manifest;
using Kind = FileDifference::Kind;

Result<PairReport> computed_pair(const Library& library, const Contents& from, const Contents& to,
                                 const std::string& folder, const WorkSink& progress) {
  SEGUE_ASSIGN(const auto base, StoredTree::open(library.objects(), from, folder));
  SEGUE_ASSIGN(const auto target, StoredTree::open(library.objects(), to, folder));
  WorkProgress state{"computing the delta", 0, pair_work_bytes(from.manifest, to.manifest)};
  SEGUE_ASSIGN(auto pair,
               compute_pair(from.manifest, *base, to.manifest, *target, [&](std::uint64_t bytes) {
                 state.done_bytes = std::min(state.done_bytes + bytes, state.total_bytes);
                 if (progress) progress(state);
               }));
  return std::move(pair.second);
}

bool same_but_content(const Entry& left, const Entry& right) {
  return left.type == right.type && left.mode == right.mode &&
         left.link_target == right.link_target && left.attributes == right.attributes &&
         left.holes == right.holes;
}

class Comparison {
 public:
  Comparison(const Manifest& from, const Manifest& to, ReleaseDiff& diff)
      : from_(from), to_(to), diff_(diff) {
    for (const Entry& entry : from.entries) {
      by_path_.emplace(entry.path, &entry);
      if (entry.type == EntryType::regular) by_content_.emplace(entry.content, &entry);
    }
    for (const FileReport& file : diff.pair.files) reports_.emplace(file.target_entry, &file);
  }

  void run() {
    std::set<std::string_view> paths;
    for (std::size_t i = 0; i < to_.entries.size(); ++i) {
      paths.insert(to_.entries[i].path);
      compare(i);
    }
    for (const Entry& entry : from_.entries) {
      if (entry.type != EntryType::directory && !paths.contains(entry.path)) {
        diff_.files.push_back(
            {.kind = Kind::removed, .path = entry.path, .size_bytes = entry.size_bytes});
      }
    }
    std::ranges::stable_sort(diff_.files, std::greater<>(), &FileDifference::coded_bytes);
  }

 private:
  void compare(std::size_t index) {
    const Entry& entry = to_.entries[index];
    const auto found = by_path_.find(entry.path);
    const Entry* old = found == by_path_.end() ? nullptr : found->second;
    FileDifference difference{.path = entry.path, .size_bytes = entry.size_bytes};
    if (const auto report = reports_.find(index); report != reports_.end()) {
      describe(*report->second, difference);
    } else if (old != nullptr && old->content == entry.content && old->type == entry.type) {
      const bool same = same_but_content(*old, entry);
      if (same && entry.type != EntryType::directory) ++diff_.same_files;
      if (same) return;
      difference.kind = Kind::attributes;
    } else if (entry.type == EntryType::regular && entry.size_bytes > 0) {
      difference.kind = Kind::moved;
      if (const auto from = by_content_.find(entry.content); from != by_content_.end()) {
        difference.from = from->second->path;
      }
    } else if (old == nullptr && entry.type == EntryType::directory) {
      return;  // its files tell
    } else {
      difference.kind = old == nullptr ? Kind::fresh : Kind::attributes;
    }
    diff_.files.push_back(std::move(difference));
  }

  void describe(const FileReport& report, FileDifference& difference) const {
    difference.kind = report.method == FileReport::Method::patch ? Kind::patched : Kind::fresh;
    if (report.base_entry && *report.base_entry < from_.entries.size()) {
      difference.from = from_.entries[*report.base_entry].path;
    }
    difference.coded_bytes = report.coded_bytes;
    difference.literal_bytes = report.literal_bytes;
    difference.operations = report.operations;
    difference.in_bulk = report.in_bulk;
  }

  const Manifest& from_;
  const Manifest& to_;
  ReleaseDiff& diff_;
  std::map<std::string_view, const Entry*> by_path_;
  std::map<Digest, const Entry*> by_content_;
  std::map<std::size_t, const FileReport*> reports_;
};

std::uint64_t lacking_bytes(const Contents& from, const Contents& to) {
  std::set<Digest> known;
  for (const Chunk& chunk : from.chunks) known.insert(chunk.content);
  std::uint64_t bytes = 0;
  for (const Chunk& chunk : to.chunks) {
    if (known.insert(chunk.content).second) bytes += chunk.stored_bytes;
  }
  return bytes;
}

}  // namespace

std::string_view to_string(Kind kind) {
  switch (kind) {
    case Kind::moved:
      return "moved";
    case Kind::patched:
      return "patched";
    case Kind::fresh:
      return "fresh";
    case Kind::attributes:
      return "attributes";
    case Kind::removed:
      return "removed";
  }
  return "";
}

Result<ReleaseDiff> diff_releases(const Library& library, const Release& from, const Release& to,
                                  const std::string& folder, const WorkSink& progress) {
  ReleaseDiff diff;
  diff.from = from;
  diff.to = to;
  SEGUE_ASSIGN(const Contents base, library.contents_of(from));
  SEGUE_ASSIGN(const Contents target, library.contents_of(to));
  SEGUE_ASSIGN(const Disk disk, Disk::open(library.directory()));
  if (auto known = DeltaCache(disk).find(from.root, to.root)) {
    diff.is_stored = library.objects().has(known->delta);
    diff.pair = *std::move(known);
  } else {
    SEGUE_ASSIGN(diff.pair, computed_pair(library, base, target, folder, progress));
  }
  diff.contents_bytes = to.contents.length;
  diff.chunk_bytes = lacking_bytes(base, target);
  Comparison(base.manifest, target.manifest, diff).run();
  return diff;
}

}  // namespace segue::library
