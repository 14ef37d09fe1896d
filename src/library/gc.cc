// SPDX-License-Identifier: Apache-2.0
// Publisher: retires releases, and removes what no metadata names any more.
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <set>

#include "library/delegation.h"
#include "library/pins.h"
#include "library/publisher.h"
#include "tuf/client.h"
#include "tuf/envelope.h"

namespace segue::library {

using base::ErrorCode;
using base::fail;
using base::Result;
using delta::Digest;

namespace {

// Those that the policy does not keep, pinned or not.
std::vector<Release> beyond_policy(const ReleaseList& list, const GcPolicy& policy, tuf::Time now) {
  std::vector<Release> beyond;
  const std::size_t count = list.releases.size();
  const std::size_t newest = std::max<std::size_t>(policy.keep_releases.value_or(1), 1);
  for (std::size_t i = 0; i + newest < count; ++i) {
    const Release& release = list.releases[i];
    const bool young = policy.keep_younger && release.published + *policy.keep_younger > now;
    if (!young) beyond.push_back(release);
  }
  return beyond;
}

// A delta from a release that is gone leads nobody anywhere.
void drop_deltas_from(tuf::Targets& role, const std::set<std::string>& versions) {
  for (auto& [path, target] : role.targets) {
    auto release = parse_release(path, target);
    if (!release) continue;
    const auto dropped = std::erase_if(
        release->deltas, [&](const ReleaseDelta& delta) { return versions.contains(delta.from); });
    if (dropped > 0) target = to_target(*release);
  }
}

Result<tuf::Time> modified(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) {
    return fail(base::errno_error(fmt::format("stat {}", path), errno));
  }
  return tuf::Time(std::chrono::seconds(status.st_mtime));
}

// What the files of metadata that are in the directory name, newest or not.
class Needed {
 public:
  Needed(const MetadataStore& metadata, const ObjectStore& objects)
      : metadata_(metadata), objects_(objects) {}

  // `gone`: files that are about to be removed.
  Result<void> gather(const std::set<std::string>& gone) {
    SEGUE_ASSIGN(const auto names, metadata_.list());
    for (const auto& name : names) {
      const auto file = parse_metadata_name(name);
      if (!file || tuf::is_top_level(file->role) || gone.contains(name)) continue;
      if (auto added = add_role(*file, name); !added) {
        return fail(std::move(added).error().with(
            fmt::format("{} says what is needed, so nothing is removed", metadata_.path_of(name))));
      }
    }
    return {};
  }

  [[nodiscard]] bool has(const Digest& object) const { return objects_needed_.contains(object); }

 private:
  Result<void> add_role(const MetadataFileName& file, const std::string& name) {
    SEGUE_ASSIGN(const std::string bytes, metadata_.read_file(name));
    SEGUE_ASSIGN(const tuf::Envelope envelope, tuf::parse_envelope(bytes));
    SEGUE_ASSIGN(const auto role, tuf::from_json<tuf::Targets>(envelope.signed_part));
    if (file.role == kPlansRole) return add_plans(role);
    const ReleaseList list = releases_of(file.role, role);
    if (!list.refused.empty()) return fail(base::Error(list.refused.front()));
    for (const Release& release : list.releases) {
      for (const auto& delta : release.deltas) objects_needed_.insert(delta.object.sha256);
      SEGUE_TRY(add_contents(release));
    }
    return {};
  }

  Result<void> add_plans(const tuf::Targets& role) {
    const PlanTargets plans = plan_targets_of(role);
    if (!plans.refused.empty()) return fail(base::Error(plans.refused.front()));
    for (const auto& plan : plans.plans) objects_needed_.insert(plan.document.sha256);
    return {};
  }

  Result<void> add_contents(const Release& release) {
    if (!objects_needed_.insert(release.contents.sha256).second) return {};
    auto contents = read_contents(objects_, release);
    if (!contents) {
      return fail(
          std::move(contents).error().with(target_path(release.component, release.version)));
    }
    for (const Chunk& chunk : contents->chunks) objects_needed_.insert(chunk.stored);
    return {};
  }

  const MetadataStore& metadata_;
  const ObjectStore& objects_;
  std::set<Digest> objects_needed_;
};

}  // namespace

Result<GcReport> Publisher::gc(const GcPolicy& policy, const WorkSink& progress) {
  GcReport report;
  SEGUE_TRY(retire(policy, report));
  SEGUE_ASSIGN(const auto old, old_metadata(policy));
  Needed needed(metadata_, objects_);
  SEGUE_TRY(needed.gather(old));
  report.removed_metadata_files = old.size();
  if (!policy.dry_run) {
    for (const auto& name : old) SEGUE_TRY(disk_->remove(metadata_.path_of(name)));
    if (!old.empty()) SEGUE_TRY(disk_->sync_all());
    // First what would lead to objects that are gone.
    SEGUE_TRY(chunk_cache_.keep_only([&](const Chunk& chunk) { return needed.has(chunk.stored); }));
    SEGUE_TRY(
        delta_cache_.keep_only([&](const ObjectRef& delta) { return needed.has(delta.sha256); }));
  }
  SEGUE_TRY(objects_.for_each([&](const ObjectRef& object) -> Result<void> {
    const bool stays = needed.has(object.sha256);
    (stays ? report.kept_objects : report.removed_objects) += 1;
    (stays ? report.kept_bytes : report.removed_bytes) += object.length;
    if (progress)
      progress({"looking through the objects", report.kept_bytes + report.removed_bytes, 0});
    return stays || policy.dry_run ? Result<void>() : objects_.remove(object.sha256);
  }));
  if (!policy.dry_run && report.removed_objects > 0) SEGUE_TRY(disk_->sync_all());
  return report;
}

Result<void> Publisher::retire(const GcPolicy& policy, GcReport& report) {
  if (!policy.keep_releases && !policy.keep_younger) return {};
  SEGUE_ASSIGN(const auto pinned, pinned_targets(settings_.directory));
  SEGUE_ASSIGN(const auto plans, all_plans());
  const std::set<std::string> planned = planned_targets(plans);
  tuf::Repository next = repository_;
  tuf::Signers signers = settings_.signers;
  for (const auto& [component, list] : components_of(repository_)) {
    std::set<std::string> versions;
    for (Release& release : beyond_policy(list, policy, now())) {
      const std::string path = target_path(component, release.version);
      if (pinned.contains(path) || planned.contains(path)) {
        ++(pinned.contains(path) ? report.pinned : report.planned);
        continue;
      }
      versions.insert(release.version);
      report.retired.push_back(std::move(release));
    }
    if (versions.empty()) continue;
    SEGUE_ASSIGN(tuf::Targets* const role, next.edit(component));
    for (const auto& version : versions) role->targets.erase(target_path(component, version));
    drop_deltas_from(*role, versions);
    signers.merge(signers_for(settings_.signers, component));
  }
  if (report.retired.empty()) return {};
  if (policy.dry_run) {
    SEGUE_TRY(next.publish(signers, now(), settings_.lifetimes));  // whether the keys suffice
    return {};
  }
  SEGUE_TRY(write_metadata(std::move(next), signers));
  return {};
}

Result<std::set<std::string>> Publisher::old_metadata(const GcPolicy& policy) const {
  SEGUE_ASSIGN(const auto names, metadata_.list());
  std::map<std::string, std::map<std::uint64_t, std::string>> versions;  // by role
  for (const auto& name : names) {
    const auto file = parse_metadata_name(name);
    if (file && file->version > 0 && file->role != tuf::kRoot) {
      versions[file->role][file->version] = name;
    }
  }
  std::set<std::string> old;
  for (const auto& [role, files] : versions) {
    std::uint64_t current = repository_.snapshot().version;
    if (role != tuf::kSnapshot) {
      const auto described = repository_.snapshot().meta.find(role);
      if (described == repository_.snapshot().meta.end()) continue;
      current = described->second.version;
    }
    for (auto file = files.begin(); file != files.end() && file->first < current; ++file) {
      const auto successor = std::next(file);
      if (successor == files.end()) break;
      SEGUE_ASSIGN(const tuf::Time replaced, modified(metadata_.path_of(successor->second)));
      if (replaced + policy.grace <= now()) old.insert(file->second);
    }
  }
  return old;
}

}  // namespace segue::library
