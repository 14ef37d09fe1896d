// SPDX-License-Identifier: Apache-2.0
// Adds releases to a library, and removes what nobody needs.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "library/chunk_cache.h"
#include "library/delta_cache.h"
#include "library/library.h"
#include "library/plan_target.h"
#include "os/clock.h"
#include "os/file_lock.h"
#include "plan/schedule.h"
#include "tuf/repository.h"

namespace segue::library {

// The files of the tree that is published. Each is read once, from front to back, in one thread.
class FileSource {
 public:
  using Piece = std::function<base::Result<void>(delta::ByteView bytes)>;
  virtual ~FileSource() = default;
  // All bytes of a regular entry of the manifest, holes as zeros.
  virtual base::Result<void> read(std::size_t entry, const Piece& piece) = 0;
};

struct PublishRequest {
  std::string component;
  std::string version;
  std::string commit;  // empty: not said
  ReleaseKind kind = ReleaseKind::tree;
  std::size_t deltas = 3;     // from so many of the releases before it; at most kMaxDeltas
  bool deltas_later = false;  // leaves them to make_deltas()
  // The component's role gets the keys that sign for it now, in place of those it has.
  bool delegate_anew = false;
};

struct PublishReport {
  Release release;
  bool was_there = false;  // with the same tree; then the rest is zero
  std::uint64_t chunks = 0;
  std::uint64_t new_chunks = 0;
  std::uint64_t added_bytes = 0;  // on disk, all objects together
  std::uint64_t added_objects = 0;
  std::uint64_t computed_deltas = 0;  // the others were known
  std::uint64_t metadata_bytes = 0;  // what a host reads: timestamp, snapshot, the component's role
  std::vector<std::string> warnings;  // what is missing, and why; the release is whole without it
};

struct GcPolicy {
  // Releases of each component that stay: so many of the newest, those younger than so long, those
  // that are pinned, and those that plans need. Nothing: all stay, and no key is needed.
  std::optional<std::size_t> keep_releases;
  std::optional<std::chrono::seconds> keep_younger;
  // Who began to read before may finish: what was replaced stays so long.
  std::chrono::seconds grace = std::chrono::hours(24);
  bool dry_run = false;
};

struct GcReport {
  std::vector<Release> retired;
  std::uint64_t pinned = 0;   // that would have been retired
  std::uint64_t planned = 0;  // … and that plans need
  std::uint64_t removed_metadata_files = 0;
  std::uint64_t removed_objects = 0;
  std::uint64_t removed_bytes = 0;
  std::uint64_t kept_objects = 0;
  std::uint64_t kept_bytes = 0;
};

// Holds the library's lock. One thread at a time; uses several itself.
class Publisher {
 public:
  struct Settings {
    std::string directory;
    // A root.json: for a new library, or the next root of an old one, or an earlier one, from which
    // its roots then have to follow.
    std::string root_bytes;
    tuf::Signers signers;  // by role; a component without signers of its own has those of targets
    tuf::Lifetimes lifetimes;
    std::string holder = "a publisher";  // who this is, for others who wait
    base::Duration max_wait = std::chrono::minutes(10);
    // Threads that compress and compute deltas; each delta holds at most about 500 MiB besides the
    // two trees, which are mapped files. 0: as many as there are processors.
    unsigned threads = 0;
    // Plans that are kept elsewhere and count like those of the library; asked for when needed.
    std::function<base::Result<std::vector<plan::Plan>>()> more_plans;
    Disk::Watch watch;  // for tests
  };
  // Makes the library if `root_bytes` was given and there is none. failed_precondition: its roots
  // do not follow from that one. deadline_exceeded: another publisher works on it for longer than
  // `max_wait`. `clock` outlives it.
  static base::Result<Publisher> open(Settings settings, const os::Clock& clock);

  // What publish() would find before it reads a file: nothing, or the release that is there with
  // the same tree; already_exists: with another one, and releases never change;
  // failed_precondition: a key is missing, the root does not allow it, or a plan goes live. Takes
  // no lock and changes nothing; the library may be missing still.
  static base::Result<std::optional<Release>> rehearse(const Settings& settings,
                                                       const os::Clock& clock,
                                                       const PublishRequest& request,
                                                       const delta::Digest& root);

  // The plan that keeps this version from being published now, if one does; nothing for a version
  // that is there. Takes no lock, reads no tree; the library may be missing still.
  static base::Result<std::optional<plan::PublishingFreeze>> freeze_of(const Settings& settings,
                                                                       const os::Clock& clock,
                                                                       const std::string& component,
                                                                       const std::string& version);

  // Stores the tree and announces the release, then computes its deltas and announces those. On an
  // error, and when it is killed before it is announced, the library is as it was, or
  // (unknown_outcome) as it shall be. aborted names a file that is not what `manifest` says. What
  // goes wrong with the deltas is a warning: the release is there, and make_deltas() goes on.
  // Memory besides the deltas': the manifests, and 64 MiB.
  base::Result<PublishReport> publish(const PublishRequest& request,
                                      const delta::Manifest& manifest, FileSource& files,
                                      const WorkSink& progress = {});

  // Makes and announces what publish() has left of the deltas, of every component whose keys are at
  // hand; `warnings` say what is missing still, and why. How many were made.
  base::Result<std::uint64_t> make_deltas(std::vector<std::string>& warnings,
                                          const WorkSink& progress = {});

  // A new timestamp, and new versions of those roles whose signers are at hand and that have passed
  // half their lifetime. failed_precondition names a role that lacks signers.
  base::Result<void> renew(bool dry_run = false);

  // Retires releases by policy, then removes old metadata and whatever no metadata that is left
  // names. data_loss, and nothing is removed: it cannot be told what is needed.
  base::Result<GcReport> gc(const GcPolicy& policy, const WorkSink& progress = {});

  // already_exists: another has its id. resource_exhausted: there are kMaxLibraryPlans that are not
  // over. Plans that were over long ago leave the library; where it is full, others that are over.
  base::Result<void> add_plan(const plan::Plan& plan, bool delegate_anew, bool dry_run = false);
  // failed_precondition: it is cancelled already. The plan as it is then.
  base::Result<plan::Plan> cancel_plan(const std::string& id,
                                       const plan::Cancellation& cancellation,
                                       bool dry_run = false);

  // Replaces the pin `name`; no targets: removes it. not_found: there is no such release.
  base::Result<void> pin(const std::string& name, const std::vector<std::string>& targets,
                         bool dry_run = false);

  [[nodiscard]] const tuf::Repository& repository() const { return repository_; }

 private:
  struct Delta {
    Release base;
    PairReport report;
    delta::Bytes bytes;  // empty: it was known
    std::optional<base::Error> error;
  };

  Publisher(Settings settings, const os::Clock& clock, os::FileLock lock,
            std::unique_ptr<Disk> disk, tuf::Repository repository);

  [[nodiscard]] tuf::Time now() const;
  [[nodiscard]] std::string incoming() const;
  base::Result<PublishReport> publish_whole(const PublishRequest& request,
                                            const delta::Manifest& manifest, FileSource& files,
                                            const WorkSink& progress);
  // The deltas, after the release was announced.
  void finish(const PublishRequest& request, PublishReport& report, const WorkSink& progress);
  base::Result<std::vector<Chunk>> store_chunks(const delta::Manifest& manifest, FileSource& files,
                                                const WorkSink& progress, PublishReport& report);
  // The deltas that are known, and which are to be made.
  void find_deltas(const PublishRequest& request, Release& release) const;
  base::Result<void> make_deltas_of(const std::string& component,
                                    std::vector<std::string>& warnings, std::uint64_t& made,
                                    const WorkSink& progress);
  base::Result<void> finish_deltas(const Release& release, std::vector<std::string>& warnings,
                                   std::uint64_t& made, const WorkSink& progress);
  base::Result<void> store_deltas(std::vector<Delta>& deltas, Release& release,
                                  std::vector<std::string>& warnings, std::uint64_t& made);
  base::Result<void> compute_deltas(std::vector<Delta>& deltas, const Contents& contents,
                                    const WorkSink& progress);

  base::Result<std::optional<Release>> check(const PublishRequest& request,
                                             const delta::Digest& root) const;
  base::Result<void> write_metadata(tuf::Repository next, const tuf::Signers& signers);

  // Those of the library, and those that are kept elsewhere.
  static base::Result<std::vector<plan::Plan>> plans_for(const tuf::Repository& repository,
                                                         const Settings& settings);
  [[nodiscard]] base::Result<std::vector<plan::Plan>> all_plans() const;
  // What those plans name or have named last at a site, and what the deltas to it come from.
  [[nodiscard]] std::set<std::string> planned_targets(const std::vector<plan::Plan>& plans) const;
  base::Result<void> put_plan(tuf::Repository next, const plan::Plan& plan, bool dry_run);

  base::Result<void> retire(const GcPolicy& policy, GcReport& report);
  // Names of files whose successor is older than the grace time.
  [[nodiscard]] base::Result<std::set<std::string>> old_metadata(const GcPolicy& policy) const;

  Settings settings_;
  const os::Clock& clock_;
  os::FileLock lock_;
  std::unique_ptr<Disk> disk_;  // at a place that does not move
  tuf::Repository repository_;
  MetadataStore metadata_;
  ObjectStore objects_;
  ChunkCache chunk_cache_;
  DeltaCache delta_cache_;
  std::uint64_t metadata_bytes_ = 0;  // of what was written last: what a host reads
};

}  // namespace segue::library
