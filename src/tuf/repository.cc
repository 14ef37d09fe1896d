// SPDX-License-Identifier: Apache-2.0
#include "tuf/repository.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/assert.h"
#include "crypto/digest.h"
#include "tuf/client.h"

namespace segue::tuf {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

// Expired or not: the publisher makes the next version.
template <class Metadata>
Result<Metadata> opened(std::string_view bytes, const Keys& keys, const RoleKeys& role,
                        std::string_view name) {
  SEGUE_ASSIGN(const Envelope envelope, parse_envelope(bytes));
  SEGUE_TRY(verify(envelope, keys, role, name));
  return from_json<Metadata>(envelope.signed_part);
}

// With the digest, whoever has stolen one role's key alone cannot put his file in place of this
// one. The length would only say the same again: clients have limits of their own.
MetaFile describe_role(const std::string& bytes, std::uint64_t version) {
  MetaFile file;
  file.version = version;
  file.hashes["sha256"] = crypto::to_hex(crypto::digest_of(bytes));
  return file;
}

// Every host reads it at every look, so it says no more than it has to.
MetaFile describe_snapshot(std::uint64_t version) {
  MetaFile file;
  file.version = version;
  return file;
}

}  // namespace

Result<Repository> Repository::create(std::string_view root_bytes) {
  Repository repository;
  SEGUE_ASSIGN(const Envelope envelope, parse_envelope(root_bytes));
  SEGUE_ASSIGN(repository.root_, from_json<Root>(envelope.signed_part));
  SEGUE_TRY(verify(envelope, repository.root_.keys, repository.root_.roles.at(std::string(kRoot)),
                   kRoot));
  repository.root_bytes_ = root_bytes;
  repository.root_changed_ = true;
  repository.roles_.emplace(kTargets, Targets{});
  repository.roles_.begin()->second.version = 0;  // the first publication makes it 1
  repository.changed_.emplace(kTargets);
  return repository;
}

Result<Repository> Repository::open(std::string_view root_bytes, std::string_view timestamp_bytes,
                                    std::string_view snapshot_bytes,
                                    const std::map<std::string, std::string>& role_bytes) {
  SEGUE_ASSIGN(Repository repository, create(root_bytes));
  const Root& root = repository.root_;
  SEGUE_ASSIGN(repository.timestamp_,
               opened<Timestamp>(timestamp_bytes, root.keys, root.roles.at(std::string(kTimestamp)),
                                 kTimestamp));
  SEGUE_ASSIGN(repository.snapshot_,
               opened<Snapshot>(snapshot_bytes, root.keys, root.roles.at(std::string(kSnapshot)),
                                kSnapshot));
  if (repository.snapshot_.version != repository.timestamp_.snapshot.version) {
    return fail(ErrorCode::data_loss, "snapshot is version {}, and the timestamp names {}",
                repository.snapshot_.version, repository.timestamp_.snapshot.version);
  }
  SEGUE_TRY(repository.read_roles(role_bytes));
  repository.root_changed_ = false;
  repository.published_ = true;
  repository.changed_.clear();
  return repository;
}

// Delegators come before those whom they delegate to.
Result<void> Repository::read_roles(const std::map<std::string, std::string>& role_bytes) {
  roles_.clear();
  std::vector<std::string> waiting = {std::string(kTargets)};
  while (!waiting.empty()) {
    const std::string name = std::move(waiting.back());
    waiting.pop_back();
    const auto described = snapshot_.meta.find(name);
    if (roles_.contains(name) || described == snapshot_.meta.end()) continue;
    const auto bytes = role_bytes.find(name);
    if (bytes == role_bytes.end()) {
      return fail(ErrorCode::not_found, "the file of the role '{}' is missing", name);
    }
    SEGUE_ASSIGN(const Authority authority, authority_of(name));
    SEGUE_ASSIGN(Targets targets,
                 opened<Targets>(bytes->second, *authority.keys, *authority.role, name));
    if (targets.version != described->second.version) {
      return fail(ErrorCode::data_loss, "the role '{}' is version {}, and the snapshot names {}",
                  name, targets.version, described->second.version);
    }
    const auto& read = roles_.emplace(name, std::move(targets)).first->second;
    if (!read.delegations) continue;
    for (const auto& role : read.delegations->roles) waiting.push_back(role.name);
  }
  return {};
}

const Targets* Repository::role(std::string_view name) const {
  const auto found = roles_.find(name);
  return found == roles_.end() ? nullptr : &found->second;
}

Result<Targets*> Repository::edit(std::string_view name) {
  const auto found = roles_.find(name);
  if (found == roles_.end()) {
    return fail(ErrorCode::not_found, "there is no role '{}': delegate to it first", name);
  }
  changed_.emplace(name);
  return &found->second;
}

Result<void> Repository::delegate(std::string_view delegator, DelegatedRole role,
                                  const std::vector<Key>& keys) {
  if (is_top_level(role.name) || role.name.empty() ||
      percent_encode(role.name).size() > kMaxEncodedRoleBytes) {
    return fail(ErrorCode::invalid_argument, "'{}' cannot be the name of a delegated role",
                role.name);
  }
  role.keys.key_ids.clear();
  for (const auto& key : keys) role.keys.key_ids.push_back(key.id);
  const std::set<std::string> distinct(role.keys.key_ids.begin(), role.keys.key_ids.end());
  role.keys.key_ids.assign(distinct.begin(), distinct.end());
  if (role.keys.threshold == 0 || role.keys.threshold > distinct.size()) {
    return fail(ErrorCode::invalid_argument,
                "the role '{}' has {} keys, which cannot reach the threshold {}", role.name,
                distinct.size(), role.keys.threshold);
  }
  SEGUE_ASSIGN(Targets* const from, edit(delegator));
  if (!from->delegations) from->delegations.emplace();
  Delegations& delegations = *from->delegations;
  for (const auto& key : keys) delegations.keys.insert_or_assign(key.id, key);
  const std::string name = role.name;
  const auto earlier = std::ranges::find(delegations.roles, name, &DelegatedRole::name);
  if (earlier != delegations.roles.end()) {
    *earlier = std::move(role);
  } else {
    delegations.roles.push_back(std::move(role));
  }
  std::set<std::string> used;
  for (const auto& each : delegations.roles) {
    used.insert(each.keys.key_ids.begin(), each.keys.key_ids.end());
  }
  std::erase_if(delegations.keys, [&](const auto& key) { return !used.contains(key.first); });
  const auto [below, is_new] = roles_.try_emplace(name);
  if (is_new) below->second.version = 0;
  changed_.insert(name);  // its keys may be other ones now
  return {};
}

void Repository::renew_snapshot() {
  changed_.emplace(kSnapshot);
}

void Repository::use_up(std::string_view role, std::uint64_t version) {
  std::uint64_t& used = used_up_.try_emplace(std::string(role), 0).first->second;
  used = std::max(used, version);
}

std::uint64_t Repository::version_after(std::string_view role, std::uint64_t version) const {
  const auto used = used_up_.find(role);
  return 1 + (used == used_up_.end() ? version : std::max(version, used->second));
}

Result<void> Repository::adopt_root(std::string_view root_bytes) {
  SEGUE_ASSIGN(const Envelope envelope, parse_envelope(root_bytes));
  SEGUE_ASSIGN(Root root, from_json<Root>(envelope.signed_part));
  if (root.version != root_.version + 1) {
    return fail(ErrorCode::failed_precondition, "root {} cannot follow root {}", root.version,
                root_.version);
  }
  SEGUE_TRY(verify(envelope, root_.keys, root_.roles.at(std::string(kRoot)),
                   "root, by the keys of the one before it,"));
  SEGUE_TRY(verify(envelope, root.keys, root.roles.at(std::string(kRoot)), kRoot));
  const Root before = std::exchange(root_, std::move(root));
  root_bytes_ = root_bytes;
  root_changed_ = true;
  mark_roles_with_new_keys(before);
  return {};
}

void Repository::mark_roles_with_new_keys(const Root& before) {
  for (const auto role : {kSnapshot, kTargets}) {
    const RoleKeys& old_keys = before.roles.at(std::string(role));
    const RoleKeys& new_keys = root_.roles.at(std::string(role));
    if (old_keys.key_ids != new_keys.key_ids || old_keys.threshold != new_keys.threshold) {
      changed_.emplace(role);
    }
  }
}

std::string Repository::versioned(std::string_view role, std::uint64_t version) const {
  const std::string name = file_name_of(role);
  const bool consistent = root_.consistent_snapshot.value_or(false) || role == kRoot;
  return consistent ? fmt::format("{}.{}", version, name) : name;
}

Result<Repository::Authority> Repository::authority_of(std::string_view role) const {
  if (is_top_level(role)) return Authority{&root_.keys, &root_.roles.at(std::string(role))};
  for (const auto& [name, targets] : roles_) {
    if (!targets.delegations) continue;
    for (const auto& delegated : targets.delegations->roles) {
      if (delegated.name == role) return Authority{&targets.delegations->keys, &delegated.keys};
    }
  }
  return fail(ErrorCode::not_found, "nobody delegates to the role '{}'", role);
}

Result<std::string> Repository::sign_as(std::string_view role, const Json& signed_part,
                                        const Signers& signers) const {
  SEGUE_ASSIGN(const Authority authority, authority_of(role));
  std::vector<crypto::PrivateKey> keys;
  if (const auto held = signers.find(std::string(role)); held != signers.end()) {
    for (const auto& key : held->second) {
      const std::string id = Key::of(key.public_key()).id;
      if (std::ranges::find(authority.role->key_ids, id) != authority.role->key_ids.end()) {
        keys.push_back(key);
      }
    }
  }
  SEGUE_ASSIGN(std::string bytes, sign(signed_part, keys));
  SEGUE_ASSIGN(const Envelope envelope, parse_envelope(bytes));
  const std::size_t count = count_signatures(envelope, *authority.keys, *authority.role);
  if (count < authority.role->threshold) {
    return fail(ErrorCode::failed_precondition,
                "the role '{}' needs {} signatures, and the keys at hand make {}: name more of its "
                "private keys",
                role, authority.role->threshold, count);
  }
  return bytes;
}

Result<std::vector<RepositoryFile>> Repository::publish(const Signers& signers, Time now,
                                                        const Lifetimes& lifetimes) {
  Repository next = *this;
  std::vector<RepositoryFile> files;
  if (root_changed_) files.push_back({versioned(kRoot, root_.version), root_bytes_});

  for (const auto& name : changed_) {
    if (name == kSnapshot) continue;
    Targets& targets = next.roles_.find(name)->second;
    targets.version = version_after(name, targets.version);
    targets.expires = now + lifetimes.targets;
    SEGUE_ASSIGN(std::string bytes, sign_as(name, to_json(targets), signers));
    next.snapshot_.meta.insert_or_assign(name, describe_role(bytes, targets.version));
    files.push_back({versioned(name, targets.version), std::move(bytes)});
  }
  if (!changed_.empty() || !published_) {
    next.snapshot_.version = version_after(kSnapshot, published_ ? snapshot_.version : 0);
    next.snapshot_.expires = now + lifetimes.snapshot;
    SEGUE_ASSIGN(std::string bytes, sign_as(kSnapshot, to_json(next.snapshot_), signers));
    next.timestamp_.snapshot = describe_snapshot(next.snapshot_.version);
    files.push_back({versioned(kSnapshot, next.snapshot_.version), std::move(bytes)});
  }
  next.timestamp_.version = published_ ? timestamp_.version + 1 : 1;
  next.timestamp_.expires = now + lifetimes.timestamp;
  SEGUE_ASSIGN(std::string bytes, sign_as(kTimestamp, to_json(next.timestamp_), signers));
  files.push_back({file_name_of(kTimestamp), std::move(bytes)});

  next.changed_.clear();
  next.root_changed_ = false;
  next.published_ = true;
  *this = std::move(next);
  return files;
}

}  // namespace segue::tuf
