// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "tuf/repository.h"

namespace segue::tuf {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

Result<void> apply(Root& root, const RoleChange& change) {
  if (!is_top_level(change.role)) {
    return fail(ErrorCode::invalid_argument,
                "root has no role '{}': name root, targets, snapshot or timestamp", change.role);
  }
  RoleKeys& role = root.roles[change.role];
  for (const auto& id : change.remove) {
    if (std::erase(role.key_ids, id) == 0) {
      return fail(ErrorCode::invalid_argument, "the role '{}' does not have the key {}",
                  change.role, id);
    }
  }
  for (const auto& key : change.add) {
    root.keys.insert_or_assign(key.id, key);
    if (std::ranges::find(role.key_ids, key.id) == role.key_ids.end()) {
      role.key_ids.push_back(key.id);
    }
  }
  if (change.threshold) role.threshold = *change.threshold;
  return {};
}

Result<Root> changed(Root root, const std::vector<RoleChange>& changes, Time expires) {
  root.expires = expires;
  for (const auto& change : changes) SEGUE_TRY(apply(root, change));
  std::vector<std::string> used;
  for (const auto name : {kRoot, kTargets, kSnapshot, kTimestamp}) {
    const RoleKeys& role = root.roles[std::string(name)];
    if (role.threshold == 0 || role.threshold > role.key_ids.size()) {
      return fail(ErrorCode::invalid_argument,
                  "the role '{}' has {} keys, which cannot reach the threshold {}", name,
                  role.key_ids.size(), role.threshold);
    }
  }
  for (const auto& [name, role] : root.roles) {
    used.insert(used.end(), role.key_ids.begin(), role.key_ids.end());
  }
  std::erase_if(root.keys,
                [&](const auto& key) { return std::ranges::find(used, key.first) == used.end(); });
  return root;
}

std::uint64_t missing(const Envelope& envelope, const Root& root) {
  const RoleKeys& role = root.roles.at(std::string(kRoot));
  const std::size_t count = count_signatures(envelope, root.keys, role);
  return role.threshold > count ? role.threshold - count : 0;
}

}  // namespace

Result<Root> make_root(const std::vector<RoleChange>& roles, Time expires) {
  return changed(Root{}, roles, expires);
}

Result<Root> next_root(const Root& root, const std::vector<RoleChange>& changes, Time expires) {
  Root next = root;
  ++next.version;
  return changed(std::move(next), changes, expires);
}

Result<MissingSignatures> missing_signatures(std::string_view root_bytes, const Root* predecessor) {
  SEGUE_ASSIGN(const Envelope envelope, parse_envelope(root_bytes));
  SEGUE_ASSIGN(const Root root, from_json<Root>(envelope.signed_part));
  return MissingSignatures{missing(envelope, root),
                           predecessor == nullptr ? 0 : missing(envelope, *predecessor)};
}

}  // namespace segue::tuf
