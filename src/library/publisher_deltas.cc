// SPDX-License-Identifier: Apache-2.0
// Publisher: deltas from earlier releases.
#include <fmt/format.h>

#include <algorithm>
#include <mutex>

#include "library/pair.h"
#include "library/parallel.h"
#include "library/publisher.h"
#include "library/stored_tree.h"

namespace segue::library {

using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

// The newest releases with trees of their own, newest first.
std::vector<Release> bases_of(const ReleaseList& list, const Release& release, std::size_t count) {
  std::vector<Release> bases;
  std::set<delta::Digest> roots = {release.root};
  for (auto each = list.releases.rbegin(); each != list.releases.rend(); ++each) {
    if (bases.size() == std::min(count, kMaxDeltas)) break;
    if (each->kind == release.kind && roots.insert(each->root).second) bases.push_back(*each);
  }
  return bases;
}

// Adds up what several threads do.
class SharedProgress {
 public:
  SharedProgress(const WorkSink& sink, std::string doing)
      : sink_(sink), state_{std::move(doing), 0, 0} {}

  void expect(std::uint64_t bytes) {
    change([&] { state_.total_bytes += bytes; });
  }
  void add(std::uint64_t bytes) {
    change([&] { state_.done_bytes += bytes; });
  }

 private:
  template <class Change>
  void change(Change make) {
    const std::lock_guard lock(mutex_);
    make();
    WorkProgress shown = state_;
    shown.done_bytes = std::min(shown.done_bytes, shown.total_bytes);
    if (sink_) sink_(shown);
  }

  std::mutex mutex_;
  const WorkSink& sink_;
  WorkProgress state_;
};

}  // namespace

Result<void> Publisher::add_deltas(const PublishRequest& request, const Contents& contents,
                                   PublishReport& report, const WorkSink& progress) {
  Release& release = report.release;
  const auto components = components_of(repository_);
  const auto found = components.find(release.component);
  if (found == components.end()) return {};
  std::vector<Delta> deltas;
  for (Release& base : bases_of(found->second, release, request.deltas)) {
    Delta delta;
    delta.base = std::move(base);
    const auto known = delta_cache_.find(delta.base.root, release.root);
    if (known && objects_.is_whole(known->delta)) delta.report = *known;
    deltas.push_back(std::move(delta));
  }
  SEGUE_TRY(compute_deltas(deltas, contents, progress));
  for (Delta& delta : deltas) {
    if (delta.error) {
      report.warnings.push_back(
          fmt::format("no delta from {}: {}", delta.base.version, delta.error->message()));
      continue;
    }
    if (!delta.bytes.empty()) {
      SEGUE_TRY(objects_.add(delta.bytes));
      delta::Bytes().swap(delta.bytes);
      SEGUE_TRY(objects_.flush());
      SEGUE_TRY(delta_cache_.add(delta.base.root, release.root, delta.report));
      ++report.computed_deltas;
    }
    release.deltas.push_back({delta.base.version, delta.report.delta});
  }
  return {};
}

Result<void> Publisher::compute_deltas(std::vector<Delta>& deltas, const Contents& contents,
                                       const WorkSink& progress) {
  std::vector<Delta*> missing;
  for (Delta& delta : deltas) {
    if (delta.report.delta.length == 0) missing.push_back(&delta);
  }
  if (missing.empty()) return {};
  SEGUE_ASSIGN(const auto target, StoredTree::open(objects_, contents, incoming()));
  SharedProgress shared(progress, "computing deltas");
  for_each_in_parallel(missing.size(), settings_.threads, [&](std::size_t i) {
    Delta& delta = *missing[i];
    const auto made = [&]() -> Result<void> {
      SEGUE_ASSIGN(const Contents base, read_contents(objects_, delta.base));
      SEGUE_ASSIGN(const auto base_tree, StoredTree::open(objects_, base, incoming()));
      shared.expect(pair_work_bytes(base.manifest, contents.manifest));
      SEGUE_ASSIGN(auto pair, compute_pair(base.manifest, *base_tree, contents.manifest, *target,
                                           [&](std::uint64_t bytes) { shared.add(bytes); }));
      delta.bytes = std::move(pair.first);
      delta.report = std::move(pair.second);
      return {};
    }();
    if (!made) delta.error = made.error();
  });
  // What the base lacks costs only that delta; a disk that is full or fails costs the release.
  for (const Delta* delta : missing) {
    if (!delta->error) continue;
    const ErrorCode code = delta->error->code();
    if (code != ErrorCode::data_loss && code != ErrorCode::not_found) return fail(*delta->error);
  }
  return {};
}

}  // namespace segue::library
