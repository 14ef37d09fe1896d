// SPDX-License-Identifier: Apache-2.0
// Publisher: deltas from earlier releases.
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <mutex>

#include "library/delegation.h"
#include "library/pair.h"
#include "library/parallel.h"
#include "library/publisher.h"
#include "library/stored_tree.h"

namespace segue::library {

using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

// Who waits for a delta and it does not come takes chunks after so long.
constexpr std::chrono::seconds kMadeWithin = std::chrono::minutes(15);

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

void Publisher::find_deltas(const PublishRequest& request, Release& release) const {
  const auto components = components_of(repository_);
  const auto found = components.find(release.component);
  if (found == components.end()) return;
  PendingDeltas pending{.until = now() + kMadeWithin};
  for (const Release& base : bases_of(found->second, release, request.deltas)) {
    const auto known = delta_cache_.find(base.root, release.root);
    if (known && objects_.is_whole(known->delta)) {
      release.deltas.push_back({base.version, known->delta});
    } else {
      pending.from.push_back(base.version);
    }
  }
  if (!pending.from.empty()) release.pending = std::move(pending);
}

// The release stands in the metadata, and its deltas are the only thing that changes.
Result<void> Publisher::finish_deltas(const Release& release, std::vector<std::string>& warnings,
                                      std::uint64_t& made, const WorkSink& progress) {
  const auto components = components_of(repository_);
  const ReleaseList& list = components.at(release.component);
  std::vector<Delta> deltas;
  for (const auto& version : release.pending->from) {
    const Release* base = list.find_version(version);
    if (base == nullptr) continue;  // retired meanwhile
    Delta delta;
    delta.base = *base;
    const auto known = delta_cache_.find(base->root, release.root);
    if (known && objects_.is_whole(known->delta)) delta.report = *known;
    deltas.push_back(std::move(delta));
  }
  SEGUE_ASSIGN(const Contents contents, read_contents(objects_, release));
  SEGUE_TRY(compute_deltas(deltas, contents, progress));
  Release finished = release;
  SEGUE_TRY(store_deltas(deltas, finished, warnings, made));
  finished.pending.reset();
  std::ranges::stable_sort(finished.deltas, std::greater<>(), [&](const ReleaseDelta& delta) {
    const Release* base = list.find_version(delta.from);
    return base == nullptr ? tuf::Time() : base->published;
  });
  if (progress) progress({"signing", 0, 0});
  tuf::Repository next = repository_;
  SEGUE_ASSIGN(tuf::Targets* const role, next.edit(release.component));
  role->targets[target_path(release.component, release.version)] = to_target(finished);
  return write_metadata(std::move(next), signers_for(settings_.signers, release.component));
}

Result<void> Publisher::store_deltas(std::vector<Delta>& deltas, Release& release,
                                     std::vector<std::string>& warnings, std::uint64_t& made) {
  for (Delta& delta : deltas) {
    if (delta.error) {
      warnings.push_back(
          fmt::format("no delta from {}: {}", delta.base.version, delta.error->message()));
      continue;
    }
    if (!delta.bytes.empty()) {
      SEGUE_TRY(objects_.add(delta.bytes));
      delta::Bytes().swap(delta.bytes);
      SEGUE_TRY(objects_.flush());
      SEGUE_TRY(delta_cache_.add(delta.base.root, release.root, delta.report));
      ++made;
    }
    release.deltas.push_back({delta.base.version, delta.report.delta});
  }
  return {};
}

Result<std::uint64_t> Publisher::make_deltas(std::vector<std::string>& warnings,
                                             const WorkSink& progress) {
  std::uint64_t made = 0;
  for (const auto& [component, list] : components_of(repository_)) {
    SEGUE_TRY(make_deltas_of(component, warnings, made, progress));
  }
  return made;
}

Result<void> Publisher::make_deltas_of(const std::string& component,
                                       std::vector<std::string>& warnings, std::uint64_t& made,
                                       const WorkSink& progress) {
  const auto components = components_of(repository_);
  for (const Release& release : components.at(component).releases) {
    if (!release.pending) continue;
    // Whether the keys suffice, before minutes of work.
    tuf::Repository rehearsed = repository_;
    SEGUE_TRY(rehearsed.edit(component));
    const auto signers = signers_for(settings_.signers, component);
    if (auto can_sign = rehearsed.publish(signers, now(), settings_.lifetimes); !can_sign) {
      warnings.push_back(fmt::format("{} lacks deltas: {}", target_path(component, release.version),
                                     can_sign.error().message()));
      continue;
    }
    if (auto finished = finish_deltas(release, warnings, made, progress); !finished) {
      objects_.abandon();
      return finished;
    }
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
  // What the base lacks costs only that delta; a disk that is full or fails costs all of them.
  for (const Delta* delta : missing) {
    if (!delta->error) continue;
    const ErrorCode code = delta->error->code();
    if (code != ErrorCode::data_loss && code != ErrorCode::not_found) return fail(*delta->error);
  }
  return {};
}

}  // namespace segue::library
