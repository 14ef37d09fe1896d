// SPDX-License-Identifier: Apache-2.0
#include "staging/stage.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <map>

#include "fetch/metadata_updater.h"
#include "os/files.h"
#include "staging/downloads.h"
#include "staging/go_live.h"
#include "staging/rebuild.h"
#include "tree/scan.h"

namespace segue::staging {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using library::Release;

constexpr base::Duration kMetadataTotal = std::chrono::seconds(60);
constexpr base::Duration kDeltaPause = std::chrono::seconds(5);

// What is to be tried instead when it is this that went wrong, and not the line or the disk.
bool is_of_the_delta(const base::Error& error) {
  switch (error.code()) {
    case ErrorCode::aborted:
    case ErrorCode::data_loss:
    case ErrorCode::failed_precondition:
    case ErrorCode::internal:
    case ErrorCode::not_found:
      return true;
    default:
      return false;
  }
}

std::vector<std::string> fields_for_relays(const StageRequest& request) {
  std::vector<std::string> fields = {
      fmt::format("Segue-Task: {} {}", request.component, request.version)};
  if (!request.host.empty()) fields.push_back("Segue-Host: " + request.host);
  if (request.go_live_at) {
    fields.push_back(
        fmt::format("Segue-Go-Live: {}", request.go_live_at->time_since_epoch().count()));
  }
  return fields;
}

// Whether another look at the library may come to something else: what a relay on the way has kept
// may be old or wrong, and it is asked to look again.
bool may_be_of_a_relay(const base::Error& error) {
  switch (error.code()) {
    case ErrorCode::unavailable:
    case ErrorCode::deadline_exceeded:
    case ErrorCode::resource_exhausted:
      return false;
    default:
      return true;
  }
}

class Stager {
 public:
  Stager(Place& place, const StageRequest& request, const os::Clock& clock)
      : place_(place),
        request_(request),
        clock_(clock),
        downloads_({.directory = place.downloads_path(),
                    .url = request.url,
                    .max_bytes_per_second = request.max_bytes_per_second,
                    .on_bytes = [this](std::uint64_t bytes) { advance(bytes); },
                    .fields = fields_for_relays(request)},
                   http_) {}

  Result<StageReport> run() {
    SEGUE_TRY(find_release());
    SEGUE_TRY(look_for_what_is_there());
    if (report_.way == Way::present && report_.tree.number != 0) return std::move(report_);
    SEGUE_ASSIGN(const bool copied, copy_what_is_the_same());
    if (copied) return std::move(report_);
    SEGUE_TRY(look_at_live());
    if (request_.dry_run) return rehearse();
    SEGUE_TRY(await_delta());
    SEGUE_ASSIGN(const bool done, try_deltas());
    if (!done) SEGUE_TRY(take_chunks());
    report_.fetched_bytes = downloads_.fetched_bytes();
    clean_up();
    return std::move(report_);
  }

 private:
  struct Candidate {
    const library::ReleaseDelta* delta = nullptr;
    const PlacedTree* tree = nullptr;
  };

  // ---- What is wanted

  Result<void> find_release() {
    SEGUE_TRY(library::check_component(request_.component));
    SEGUE_TRY(library::check_version(request_.version));
    begin("asking the library", 0);
    const auto now = std::chrono::floor<std::chrono::seconds>(clock_.realtime_now());
    SEGUE_TRY(trust(now));
    auto found = look_into_library(now, fields_for_relays(request_));
    const bool is_remote = request_.url.starts_with("http");
    if (!found && is_remote && may_be_of_a_relay(found.error())) {
      auto fields = fields_for_relays(request_);
      fields.emplace_back("Cache-Control: no-cache");
      found = look_into_library(now, std::move(fields));
    }
    return found;
  }

  Result<void> look_into_library(tuf::Time now, std::vector<std::string> fields) {
    fetch::MetadataUpdater::Settings settings{
        .directory = place_.metadata_path(),
        .url = fetch::join_url(request_.url, library::kMetadataFolder),
        .limits = {},
        .client = {},
        .fields = std::move(fields),
        .dry_run = request_.dry_run};
    settings.limits.total = kMetadataTotal;
    settings.limits.max_bytes_per_second = request_.max_bytes_per_second;
    fetch::MetadataUpdater updater(std::move(settings), http_);
    SEGUE_TRY(updater.refresh(now));
    const std::string path = library::target_path(request_.component, request_.version);
    SEGUE_ASSIGN(const tuf::FoundTarget found, updater.find(path));
    SEGUE_ASSIGN(release_, library::parse_release(path, found.file));
    list_ = library::releases_of(request_.component, updater.client().found_role());
    return {};
  }

  Result<void> trust(tuf::Time now) {
    const std::string path = place_.metadata_path() + "/root.json";
    if (::access(path.c_str(), F_OK) == 0) return {};
    if (!request_.root_bytes) {
      return fail(ErrorCode::failed_precondition,
                  "{} trusts no library yet: give it the library's root.json with --root FILE",
                  tree::shown(place_.directory()));
    }
    return fetch::trust_root(place_.metadata_path(), *request_.root_bytes, now);
  }

  // ---- What is there

  [[nodiscard]] TreeRecord wanted_record() const {
    return {.component = release_.component,
            .version = release_.version,
            .root = release_.root,
            .bytes = release_.bytes,
            .files = release_.files};
  }

  [[nodiscard]] bool is_named(const TreeRecord& tree) const {
    return tree.component == release_.component && tree.version == release_.version;
  }

  // What has the release's root, under its name or under others.
  [[nodiscard]] std::vector<PlacedTree> same_trees(bool named) const {
    std::vector<PlacedTree> same;
    for (const PlacedTree& tree : place_.trees()) {
      if (tree.record.root == release_.root && is_named(tree.record) == named) same.push_back(tree);
    }
    return same;
  }

  Result<void> look_for_what_is_there() {
    report_.tree = wanted_record();
    for (const PlacedTree& tree : same_trees(true)) {
      begin("verifying", 0);
      const auto checked = check_tree(place_, tree, Check::changed, verifying());
      if (checked) {
        report_.way = Way::present;
        report_.tree = tree.record;
        return {};
      }
      report_.notes.push_back(checked.error().to_string());
      // A damaged tree that is live stays; the new one is made beside it.
      if (tree.role == Role::live || request_.dry_run) continue;
      if (checked.error().code() == ErrorCode::data_loss) {
        SEGUE_TRY(place_.remove(tree.record.number));
      }
    }
    return {};
  }

  // Makes it known what the live tree is, so that there is something to begin from.
  Result<void> look_at_live() {
    if (!place_.has_live()) return {};
    const PlacedTree* live = place_.live();
    if (live != nullptr && live->record.root) {
      const auto checked = check_tree(place_, *live, Check::changed, verifying());
      if (checked) return {};
      report_.notes.push_back(checked.error().to_string());
    }
    begin("reading the live tree", 0);
    auto scanned = tree::scan_tree(place_.live_path(), {}, verifying());
    if (!scanned) {
      report_.notes.push_back(scanned.error().to_string());
      return {};
    }
    live_base_ = Base{.directory = place_.live_path(), .manifest = *std::move(scanned), .root = {}};
    live_base_->root = delta::root_of(live_base_->manifest);
    if (request_.dry_run || (live != nullptr && live->record.root)) return {};
    return record_live();
  }

  Result<void> record_live() {
    const library::TreeSums sums = library::sums_of(live_base_->manifest);
    TreeRecord record{.root = live_base_->root, .bytes = sums.bytes, .files = sums.files};
    if (const Release* known = list_.find_root(live_base_->root)) {
      record.component = known->component;
      record.version = known->version;
    }
    SEGUE_ASSIGN(record.number, place_.next_number());
    return place_.know_live(record, &live_base_->manifest, {});
  }

  [[nodiscard]] std::vector<Candidate> candidates() const {
    std::vector<Candidate> found;
    for (const PlacedTree& tree : place_.trees()) {
      if (!tree.record.root || tree.record.root == release_.root) continue;
      const auto* delta = library::delta_from(list_, release_, *tree.record.root);
      if (delta != nullptr) found.push_back({delta, &tree});
    }
    std::ranges::stable_sort(found, [](const Candidate& left, const Candidate& right) {
      return left.delta->object.length < right.delta->object.length;
    });
    return found;
  }

  Result<Base> base_of(const PlacedTree& tree) {
    SEGUE_TRY(check_tree(place_, tree, Check::changed, verifying()));
    SEGUE_ASSIGN(delta::Manifest manifest, place_.manifest_of(tree.record));
    return Base{.directory = tree.path, .manifest = std::move(manifest), .root = *tree.record.root};
  }

  // The live tree as it is, even if somebody changed it; else any other.
  std::optional<Base> any_base() {
    if (live_base_) return live_base_;
    for (const PlacedTree& tree : place_.trees()) {
      if (!tree.record.root) continue;
      if (auto base = base_of(tree)) return *std::move(base);
    }
    return std::nullopt;
  }

  // Whether there will be a delta from a tree of this place, where there is none so far.
  [[nodiscard]] bool is_delta_coming() const {
    if (!release_.pending || release_.pending->until <= clock_.realtime_now()) return false;
    if (!candidates().empty()) return false;
    return std::ranges::any_of(release_.pending->from, [&](const std::string& version) {
      const Release* base = list_.find_version(version);
      return base != nullptr && std::ranges::any_of(place_.trees(), [&](const PlacedTree& tree) {
               return tree.record.root == base->root;
             });
    });
  }

  // Half of the time until it goes live is left to the chunks.
  [[nodiscard]] base::Duration longest_wait() const {
    if (!request_.go_live_at) return request_.delta_wait;
    const auto left =
        std::chrono::duration_cast<base::Duration>(*request_.go_live_at - clock_.realtime_now());
    return std::min(request_.delta_wait, std::max(left / 2, base::Duration{}));
  }

  // A release is announced before its deltas, and chunks are many times as long.
  Result<void> await_delta() {
    const auto until = clock_.monotonic_now() + longest_wait();
    while (request_.pause && is_delta_coming() && clock_.monotonic_now() < until) {
      begin("waiting for the delta", 0);
      request_.pause(kDeltaPause);
      const auto found = find_release();
      const bool may_pass = found || found.error().code() == ErrorCode::unavailable ||
                            found.error().code() == ErrorCode::deadline_exceeded;
      if (!may_pass) return found;
    }
    return {};
  }

  // ---- The ways

  Result<bool> copy_what_is_the_same() {
    for (const PlacedTree& tree : same_trees(false)) {
      auto base = base_of(tree);
      if (!base) {
        report_.notes.push_back(base.error().to_string());
        continue;
      }
      report_.way = Way::copy;
      report_.from = tree.record.name();
      if (request_.dry_run) return true;
      SEGUE_TRY(copy_tree(*base));
      clean_up();
      return true;
    }
    return false;
  }

  Result<void> copy_tree(const Base& base) {
    SEGUE_ASSIGN(const NewTree tree, new_tree());
    auto done = begin_copy(base.manifest, tree);
    if (done) done = settle(base.manifest, &base);
    if (!done) return undo_new(tree, std::move(done));
    return {};
  }

  Result<StageReport> rehearse() {
    report_.way = Way::chunks;
    const auto found = candidates();
    if (!found.empty()) {
      report_.way = Way::delta;
      report_.from = found.front().tree->record.name();
      report_.fetched_bytes = found.front().delta->object.length;
    }
    return std::move(report_);
  }

  Result<bool> try_deltas() {
    std::vector<Candidate> found = candidates();
    for (const Candidate& candidate : found) {
      const PlacedTree tree = *candidate.tree;
      auto done = take_delta(*candidate.delta, tree);
      if (done) return true;
      if (!is_of_the_delta(done.error())) return fail(std::move(done).error());
      report_.notes.push_back("no delta from " + tree.record.name() + ": " +
                              done.error().to_string());
    }
    if (found.empty() && place_.has_live()) {
      report_.notes.emplace_back("the library has no delta from a tree of this place");
    }
    return false;
  }

  Result<void> take_delta(const library::ReleaseDelta& delta, const PlacedTree& from) {
    SEGUE_ASSIGN(const Base base, base_of(from));
    begin("fetching", delta.object.length);
    downloads_.expect(delta.object.length);
    SEGUE_ASSIGN(const std::string file, downloads_.fetch(delta.object));
    SEGUE_ASSIGN(const NewTree tree, new_tree());
    begin("rebuilding", 0);
    auto manifest = rebuild_from_delta(file, base, release_, tree, making());
    Result<void> done;
    if (manifest) {
      done = settle(*manifest, &base);
    } else {
      done = fail(std::move(manifest).error());
    }
    if (!done) return undo_new(tree, std::move(done));
    ::unlink(tree.manifest_file.c_str());
    report_.way = Way::delta;
    report_.from = from.record.name();
    return {};
  }

  Result<void> take_chunks() {
    const library::ObjectRef& object = release_.contents;
    begin("fetching the list of chunks", object.length);
    downloads_.expect(object.length);
    SEGUE_ASSIGN(const std::string file, downloads_.fetch(object));
    SEGUE_ASSIGN(const std::string stored, os::read_file(file, object.length));
    SEGUE_TRY(library::check_object(delta::view_of(stored), object));
    SEGUE_ASSIGN(const library::Contents contents,
                 library::unpack_contents(delta::view_of(stored), release_));
    const std::optional<Base> base = any_base();
    const Base* base_used = base ? &*base : nullptr;
    begin("looking for what is here", 0);
    SEGUE_ASSIGN(const ChunkPlan plan, plan_chunks(contents, base_used));
    begin("fetching", plan.fetch_bytes);
    downloads_.expect(plan.fetch_bytes);
    for (const std::size_t chunk : plan.to_fetch) {
      SEGUE_TRY(downloads_.fetch(contents.chunks[chunk].object()));
    }
    SEGUE_ASSIGN(const NewTree tree, new_tree());
    begin("rebuilding", 0);
    auto done =
        rebuild_from_chunks(contents, plan, place_.downloads_path(), base_used, tree, making());
    if (done) done = settle(contents.manifest, base_used);
    if (!done) return undo_new(tree, std::move(done));
    report_.way = Way::chunks;
    for (const PlacedTree& placed : place_.trees()) {
      if (base && placed.path == base->directory) report_.from = placed.record.name();
    }
    return {};
  }

  // ---- The new tree

  Result<NewTree> new_tree() {
    SEGUE_ASSIGN(number_, place_.next_number());
    const std::string path = place_.new_path(number_);
    return NewTree{.directory = path, .manifest_file = path + ".manifest"};
  }

  Result<void> undo_new(const NewTree& tree, Result<void> failed) {
    if (auto removed = tree::remove_tree(tree.directory); !removed) {
      report_.notes.push_back(removed.error().to_string());
    }
    ::unlink(tree.manifest_file.c_str());
    return failed;
  }

  // Adds what is shared, reads everything again, and makes it known.
  Result<void> settle(const delta::Manifest& manifest, const Base* base) {
    const std::string path = place_.new_path(number_);
    std::optional<tree::DiskTree> shared;
    tree::BuildOptions options{.sharing = request_.sharing,
                               .is_written_to =
                                   [this](std::string_view file) {
                                     return std::ranges::any_of(
                                         request_.writable, [&](const std::string& pattern) {
                                           return matches_path(file, pattern);
                                         });
                                   },
                               .modified_s = release_.published.time_since_epoch().count()};
    if (base != nullptr) {
      SEGUE_ASSIGN(shared, tree::DiskTree::open(base->directory, base->manifest));
      options.base = &*shared;
    }
    begin("writing", 0);
    SEGUE_ASSIGN(report_.build, tree::complete_tree(path, manifest, options));
    begin("verifying", 0);
    SEGUE_ASSIGN(const tree::Verification verification,
                 tree::verify_tree(path, manifest, {}, verifying()));
    if (!verification.matches()) {
      return fail(ErrorCode::data_loss, "what came out is not {} {}: {}", release_.component,
                  release_.version, differences_text(verification));
    }
    report_.tree = wanted_record();
    report_.tree.number = number_;
    SEGUE_TRY(place_.add(report_.tree, manifest, verification.stamps));
    if (const PlacedTree* placed = place_.find(number_)) report_.tree = placed->record;
    if (report_.build.files_linked > 0) restamp(manifest, verification.stamps);
    return {};
  }

  // A file that has one name more has another stamp, and has just been read under it.
  void restamp(const delta::Manifest& manifest, const std::vector<tree::FileStamp>& read) {
    std::map<std::uint64_t, std::size_t> by_inode;
    for (std::size_t i = 0; i < read.size(); ++i) by_inode.emplace(read[i].inode, i);
    for (const PlacedTree& tree : place_.trees()) {
      if (!tree.record.root || tree.record.number == number_) continue;
      const auto other = place_.manifest_of(tree.record);
      std::vector<tree::FileStamp> stamps = place_.stamps_of(tree.record);
      if (!other || stamps.size() != other->entries.size()) continue;
      for (std::size_t i = 0; i < stamps.size(); ++i) {
        const auto same = by_inode.find(stamps[i].inode);
        if (same == by_inode.end()) continue;
        const delta::Entry& entry = manifest.entries[same->second];
        const bool is_equal = entry.type == delta::EntryType::regular &&
                              entry.content == other->entries[i].content &&
                              entry.mode == other->entries[i].mode &&
                              entry.attributes == other->entries[i].attributes;
        if (is_equal) stamps[i] = read[same->second];
      }
      if (auto kept = place_.keep_stamps(tree.record, stamps); !kept) {
        report_.notes.push_back(kept.error().to_string());
      }
    }
  }

  // The tree is there; what is left over can stay until the next time.
  void clean_up() {
    std::vector<std::uint64_t> waiting;
    for (const PlacedTree& tree : place_.trees()) {
      if (tree.role == Role::staged) waiting.push_back(tree.record.number);
    }
    Result<void> done = place_.clear_downloads();
    for (std::size_t i = kMaxWaitingTrees; done && i < waiting.size(); ++i) {
      done = place_.remove(waiting[i]);
    }
    if (!done) report_.notes.push_back(done.error().to_string());
  }

  // ---- Progress

  void begin(std::string_view doing, std::uint64_t bytes) {
    progress_ = {.doing = doing, .bytes_done = 0, .bytes = bytes};
    advance(0);
  }
  void advance(std::uint64_t bytes) {
    progress_.bytes_done += bytes;
    if (request_.progress) request_.progress(progress_);
  }
  MadeBytes making() {
    return [this](std::uint64_t bytes) { advance(bytes); };
  }
  tree::Progress verifying() {
    return [this](const tree::ScanProgress& progress) {
      progress_.bytes_done = progress.bytes_done;
      progress_.bytes = progress.bytes;
      advance(0);
    };
  }

  Place& place_;
  const StageRequest& request_;
  const os::Clock& clock_;
  fetch::HttpClient http_;
  Downloads downloads_;
  Release release_;
  library::ReleaseList list_;
  std::optional<Base> live_base_;  // the live tree as it was read, if it is not what was recorded
  std::uint64_t number_ = 0;
  StageProgress progress_;
  StageReport report_;
};

}  // namespace

std::string_view to_string(Way way) {
  switch (way) {
    case Way::present:
      return "present";
    case Way::copy:
      return "copy";
    case Way::delta:
      return "delta";
    case Way::chunks:
      return "chunks";
  }
  return "unknown";
}

bool matches_path(std::string_view path, std::string_view pattern) {
  while (pattern.ends_with('/')) pattern.remove_suffix(1);
  for (std::size_t end = path.find('/'); end != std::string_view::npos;
       end = path.find('/', end + 1)) {
    if (tuf::matches_pattern(path.substr(0, end), pattern)) return true;
  }
  return tuf::matches_pattern(path, pattern);
}

Result<StageReport> stage(Place& place, const StageRequest& request, const os::Clock& clock) {
  return Stager(place, request, clock).run();
}

}  // namespace segue::staging
