// SPDX-License-Identifier: Apache-2.0
#include "library/publisher.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/assert.h"
#include "library/delegation.h"
#include "library/parallel.h"
#include "library/pins.h"
#include "tuf/client.h"
#include "tuf/envelope.h"

namespace segue::library {

using base::ErrorCode;
using base::fail;
using base::Result;
using delta::Digest;

namespace {

constexpr std::string_view kLockFile = "lock";

// That the library's roots lead from the one that was given to the newest: who can write to the
// directory, and has no key, could have put others there, and his own releases under them.
Result<void> check_roots(const MetadataStore& metadata, const std::string& given_bytes,
                         const tuf::Envelope& given, std::uint64_t first, std::uint64_t newest) {
  SEGUE_ASSIGN(tuf::Repository trusted, tuf::Repository::create(given_bytes));
  for (std::uint64_t version = first; version <= newest; ++version) {
    const std::string name = fmt::format("{}.root.json", version);
    SEGUE_ASSIGN(const std::string bytes, metadata.read_file(name));
    SEGUE_ASSIGN(const tuf::Envelope here, tuf::parse_envelope(bytes));
    const bool follows = version == first ? here.signed_part == given.signed_part
                                          : trusted.adopt_root(bytes).has_value();
    if (follows) continue;
    return fail(ErrorCode::failed_precondition,
                "{} does not follow from the root that was given: somebody put it there who lacks "
                "the keys; restore the library's metadata",
                metadata.path_of(name));
  }
  return {};
}

// The root that was given is one that the library has to follow from, or its next one.
Result<void> take_root(tuf::Repository& repository, const MetadataStore& metadata,
                       const std::string& root_bytes) {
  if (root_bytes.empty()) return {};
  SEGUE_ASSIGN(const tuf::Envelope envelope, tuf::parse_envelope(root_bytes));
  SEGUE_ASSIGN(const tuf::Root root, tuf::from_json<tuf::Root>(envelope.signed_part));
  const std::uint64_t here = repository.root().version;
  if (root.version == here + 1) return repository.adopt_root(root_bytes);
  if (root.version <= here) return check_roots(metadata, root_bytes, envelope, root.version, here);
  return fail(ErrorCode::failed_precondition,
              "root {} cannot follow root {}, which this library has: publish those between first",
              root.version, here);
}

Result<tuf::Repository> open_repository(const Publisher::Settings& settings) {
  const MetadataStore metadata(settings.directory);
  if (!metadata.exists() && !settings.root_bytes.empty()) {
    SEGUE_ASSIGN(tuf::Repository repository, tuf::Repository::create(settings.root_bytes));
    SEGUE_TRY(metadata.use_up_versions(repository));
    return repository;
  }
  SEGUE_ASSIGN(tuf::Repository repository, metadata.read());
  SEGUE_TRY(take_root(repository, metadata, settings.root_bytes));
  return repository;
}

tuf::Time seconds_of(const os::Clock& clock) {
  return std::chrono::floor<std::chrono::seconds>(clock.realtime_now());
}

// The next state of the metadata, with the release in it. `wanted`: targets that hosts are going to
// fetch besides the newest.
Result<tuf::Repository> announced(const tuf::Repository& repository,
                                  const Publisher::Settings& settings,
                                  const PublishRequest& request, const Release& release,
                                  const std::set<std::string>& wanted) {
  tuf::Repository next = repository;
  SEGUE_TRY(delegate_if_new(next, request.component, settings.signers, request.delegate_anew));
  SEGUE_ASSIGN(tuf::Targets* const role, next.edit(request.component));
  // Hosts read the role at every update: only what somebody is going to fetch keeps its deltas.
  for (auto& [path, target] : role->targets) {
    if (wanted.contains(path) || !target.custom.is_object()) continue;
    target.custom.erase("deltas");
    target.custom.erase("pending");
  }
  role->targets[target_path(release.component, release.version)] = to_target(release);
  return next;
}

Result<std::optional<Release>> check_release(tuf::Repository repository,
                                             const Publisher::Settings& settings, tuf::Time now,
                                             const std::vector<plan::Plan>& plans,
                                             const PublishRequest& request, const Digest& root) {
  SEGUE_TRY(check_component(request.component));
  SEGUE_TRY(check_version(request.version));
  if (!request.commit.empty()) SEGUE_TRY(check_commit(request.commit));
  const auto components = components_of(repository);
  if (const auto found = components.find(request.component); found != components.end()) {
    if (const Release* there = found->second.find_version(request.version)) {
      if (there->root == root && there->kind == request.kind) return *there;
      return fail(ErrorCode::already_exists,
                  "{} was published with another tree ({}, not {}), and a release never changes: "
                  "choose another version",
                  target_path(request.component, request.version), there->root.hex(), root.hex());
    }
  }
  SEGUE_TRY(plan::check_publishing(plans, request.component, now));
  // Whether the keys suffice, before minutes of work.
  Release release;
  release.component = request.component;
  release.version = request.version;
  release.contents.length = 1;
  SEGUE_ASSIGN(tuf::Repository next, announced(repository, settings, request, release, {}));
  SEGUE_TRY(
      next.publish(signers_for(settings.signers, request.component), now, settings.lifetimes));
  return std::nullopt;
}

}  // namespace

Publisher::Publisher(Settings settings, const os::Clock& clock, os::FileLock lock,
                     std::unique_ptr<Disk> disk, tuf::Repository repository)
    : settings_(std::move(settings)),
      clock_(clock),
      lock_(std::move(lock)),
      disk_(std::move(disk)),
      repository_(std::move(repository)),
      metadata_(settings_.directory),
      objects_(*disk_),
      chunk_cache_(*disk_),
      delta_cache_(*disk_) {}

Result<Publisher> Publisher::open(Settings settings, const os::Clock& clock) {
  if (settings.threads == 0) settings.threads = processor_count();
  if (settings.root_bytes.empty() && !MetadataStore(settings.directory).exists()) {
    return fail(MetadataStore(settings.directory).read().error());
  }
  SEGUE_TRY(make_library_folder(settings.directory));
  SEGUE_ASSIGN(Disk disk, Disk::open(settings.directory, settings.watch));
  SEGUE_ASSIGN(os::FileLock lock,
               os::FileLock::acquire(fmt::format("{}/{}", settings.directory, kLockFile),
                                     settings.holder, settings.max_wait));
  SEGUE_ASSIGN(tuf::Repository repository, open_repository(settings));
  Publisher publisher(std::move(settings), clock, std::move(lock),
                      std::make_unique<Disk>(std::move(disk)), std::move(repository));
  SEGUE_TRY(publisher.objects_.prepare());
  SEGUE_TRY(publisher.chunk_cache_.load());
  return publisher;
}

tuf::Time Publisher::now() const {
  return seconds_of(clock_);
}

std::string Publisher::incoming() const {
  return fmt::format("{}/{}", settings_.directory, kIncomingFolder);
}

Result<std::optional<Release>> Publisher::check(const PublishRequest& request,
                                                const Digest& root) const {
  SEGUE_ASSIGN(const auto plans, all_plans());
  return check_release(repository_, settings_, now(), plans, request, root);
}

Result<std::optional<Release>> Publisher::rehearse(const Settings& settings, const os::Clock& clock,
                                                   const PublishRequest& request,
                                                   const Digest& root) {
  SEGUE_ASSIGN(const tuf::Repository repository, open_repository(settings));
  SEGUE_ASSIGN(const auto plans, plans_for(repository, settings));
  return check_release(repository, settings, seconds_of(clock), plans, request, root);
}

Result<std::optional<plan::PublishingFreeze>> Publisher::freeze_of(const Settings& settings,
                                                                   const os::Clock& clock,
                                                                   const std::string& component,
                                                                   const std::string& version) {
  SEGUE_ASSIGN(const tuf::Repository repository, open_repository(settings));
  const tuf::Targets* role = repository.role(component);
  if (role != nullptr && role->targets.contains(target_path(component, version))) {
    return std::nullopt;
  }
  SEGUE_ASSIGN(const auto plans, plans_for(repository, settings));
  return plan::publishing_freeze(plans, component, seconds_of(clock));
}

Result<PublishReport> Publisher::publish(const PublishRequest& request,
                                         const delta::Manifest& manifest, FileSource& files,
                                         const WorkSink& progress) {
  auto report = publish_whole(request, manifest, files, progress);
  if (!report) objects_.abandon();
  return report;
}

Result<PublishReport> Publisher::publish_whole(const PublishRequest& request,
                                               const delta::Manifest& manifest, FileSource& files,
                                               const WorkSink& progress) {
  PublishReport report;
  const TreeSums sums = sums_of(manifest);
  const Digest root = delta::root_of(manifest);
  SEGUE_ASSIGN(const auto there, check(request, root));
  if (there) {
    report.release = *there;
    report.was_there = true;
    finish(request, report, progress);
    return report;
  }
  if (sums.bytes > kMaxReleaseBytes) {
    return fail(ErrorCode::resource_exhausted, "the tree has {} bytes: at most {} are allowed",
                sums.bytes, kMaxReleaseBytes);
  }
  Release& release = report.release;
  release = {.component = request.component, .version = request.version, .kind = request.kind};
  release.root = root;
  release.bytes = sums.bytes;
  release.files = sums.files;
  release.commit = request.commit;

  Contents contents{manifest, {}};
  SEGUE_ASSIGN(contents.chunks, store_chunks(manifest, files, progress, report));
  SEGUE_ASSIGN(release.contents, objects_.add(pack_contents(contents)));
  SEGUE_TRY(objects_.flush());
  SEGUE_TRY(chunk_cache_.save());
  find_deltas(request, release);

  if (progress) progress({"signing", 0, 0});
  const auto components = components_of(repository_);
  release.published = now();
  if (const auto found = components.find(request.component);
      found != components.end() && !found->second.releases.empty()) {
    release.published = std::max(release.published,
                                 found->second.releases.back().published + std::chrono::seconds(1));
  }
  // A plan's time may have come meanwhile.
  SEGUE_ASSIGN(const auto plans, all_plans());
  SEGUE_TRY(plan::check_publishing(plans, request.component, now()));
  SEGUE_ASSIGN(std::set<std::string> wanted, pinned_targets(settings_.directory));
  wanted.merge(planned_targets(plans));
  SEGUE_ASSIGN(tuf::Repository next, announced(repository_, settings_, request, release, wanted));
  SEGUE_TRY(write_metadata(std::move(next), signers_for(settings_.signers, request.component)));
  finish(request, report, progress);
  return report;
}

void Publisher::finish(const PublishRequest& request, PublishReport& report,
                       const WorkSink& progress) {
  if (!request.deltas_later) {
    const auto made =
        make_deltas_of(request.component, report.warnings, report.computed_deltas, progress);
    if (!made) {
      report.warnings.push_back(fmt::format(
          "it is published, but not all of its deltas are: {}; `segue deltas` makes them",
          made.error().to_string()));
    }
    const auto components = components_of(repository_);
    report.release = *components.at(request.component).find_version(request.version);
  }
  report.metadata_bytes = metadata_bytes_;
  report.added_bytes = objects_.added_bytes();
  report.added_objects = objects_.added_objects();
}

Result<void> Publisher::write_metadata(tuf::Repository next, const tuf::Signers& signers) {
  SEGUE_ASSIGN(const auto files, next.publish(signers, now(), settings_.lifetimes));
  SEGUE_TRY(metadata_.write(*disk_, files));
  repository_ = std::move(next);
  metadata_bytes_ = 0;
  for (const auto& file : files) {
    const auto name = parse_metadata_name(file.name);
    const bool every_time = name && name->role != tuf::kRoot && name->role != tuf::kTargets;
    if (every_time) metadata_bytes_ += file.bytes.size();
  }
  return {};
}

Result<void> Publisher::renew(bool dry_run) {
  tuf::Repository next = repository_;
  tuf::Signers signers = settings_.signers;
  const auto is_old = [&](tuf::Time expires, std::chrono::seconds lifetime) {
    return expires - now() < lifetime / 2;
  };
  for (const auto& [role, file] : repository_.snapshot().meta) {
    const tuf::Signers own = signers_for(settings_.signers, role);
    const bool can_sign = own.contains(role);
    if (can_sign && is_old(repository_.role(role)->expires, settings_.lifetimes.targets)) {
      SEGUE_TRY(next.edit(role));
      signers.insert_or_assign(role, own.at(role));
    }
  }
  if (signers.contains(std::string(tuf::kSnapshot)) &&
      is_old(repository_.snapshot().expires, settings_.lifetimes.snapshot)) {
    next.renew_snapshot();
  }
  if (dry_run) {
    SEGUE_TRY(next.publish(signers, now(), settings_.lifetimes));
    return {};
  }
  SEGUE_TRY(write_metadata(std::move(next), signers));
  return {};
}

Result<void> Publisher::pin(const std::string& name, const std::vector<std::string>& targets,
                            bool dry_run) {
  std::set<std::string> distinct;
  for (const auto& target : targets) {
    const std::string component = target.substr(0, target.find('/'));
    const tuf::Targets* role = repository_.role(component);
    if (role == nullptr || !role->targets.contains(target)) {
      return fail(ErrorCode::not_found, "there is no release {}: see `segue releases`", target);
    }
    distinct.insert(target);
  }
  return dry_run ? Result<void>() : write_pin(*disk_, name, distinct);
}

}  // namespace segue::library
