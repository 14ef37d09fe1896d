// SPDX-License-Identifier: Apache-2.0
#include "tuf/trusted_metadata.h"

#include <set>

namespace segue::tuf {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

Result<Root> verified_root(std::string_view bytes, const Root* predecessor) {
  SEGUE_ASSIGN(const Envelope envelope, parse_envelope(bytes));
  if (predecessor != nullptr) {
    SEGUE_TRY(verify(envelope, predecessor->keys, predecessor->roles.at(std::string(kRoot)),
                     "root, by the keys of the one before it,"));
  }
  SEGUE_ASSIGN(Root root, from_json<Root>(envelope.signed_part));
  SEGUE_TRY(verify(envelope, root.keys, root.roles.at(std::string(kRoot)), "root"));
  return root;
}

std::set<std::string> keys_of(const Root& root, std::string_view role) {
  const auto& ids = root.roles.at(std::string(role)).key_ids;
  return {ids.begin(), ids.end()};
}

// What is said of a file by the one that was verified before it.
Result<void> check_described(std::string_view bytes, const MetaFile& description) {
  if (description.length && bytes.size() != *description.length) {
    return fail(ErrorCode::data_loss, "it has {} bytes and not {}", bytes.size(),
                *description.length);
  }
  if (description.hashes.empty()) return {};
  return check_hashes(bytes, description.hashes);
}

Result<void> check_version(const Common& metadata, const MetaFile& description) {
  if (metadata.version == description.version) return {};
  return fail(ErrorCode::data_loss, "it is version {} and not {}", metadata.version,
              description.version);
}

}  // namespace

Result<TrustedMetadata> TrustedMetadata::start(std::string_view root_bytes, Time now) {
  SEGUE_ASSIGN(Root root, verified_root(root_bytes, nullptr));
  return TrustedMetadata(std::move(root), now);
}

template <class Metadata>
Result<Metadata> TrustedMetadata::verified(std::string_view bytes) const {
  SEGUE_ASSIGN(const Envelope envelope, parse_envelope(bytes));
  SEGUE_TRY(
      verify(envelope, root_.keys, root_.roles.at(std::string(Metadata::kType)), Metadata::kType));
  return from_json<Metadata>(envelope.signed_part);
}

template <class Metadata>
Result<void> TrustedMetadata::check_expiry(const Metadata& metadata, std::string_view role) const {
  if (!metadata.is_expired(now_)) return {};
  return fail(ErrorCode::failed_precondition,
              "{} version {} expired at {}, and it is {}: somebody may hold back newer ones, or "
              "nobody signs them any more",
              role, metadata.version, to_string(metadata.expires), to_string(now_));
}

Result<bool> TrustedMetadata::update_root(std::string_view bytes) {
  SEGUE_ASSIGN(Root root, verified_root(bytes, &root_));
  if (root.version != root_.version + 1) {
    return fail(ErrorCode::data_loss, "it is version {} and not {}", root.version,
                root_.version + 1);
  }
  const bool rotated = keys_of(root, kTimestamp) != keys_of(root_, kTimestamp) ||
                       keys_of(root, kSnapshot) != keys_of(root_, kSnapshot);
  root_ = std::move(root);
  return rotated;
}

Result<void> TrustedMetadata::check_root_expiry() const {
  return check_expiry(root_, kRoot);
}

Result<void> TrustedMetadata::recall_timestamp(std::string_view bytes) {
  SEGUE_ASSIGN(timestamp_, verified<Timestamp>(bytes));
  return {};
}

Result<bool> TrustedMetadata::update_timestamp(std::string_view bytes) {
  SEGUE_ASSIGN(Timestamp timestamp, verified<Timestamp>(bytes));
  if (timestamp_) {
    if (timestamp.version < timestamp_->version) {
      return fail(ErrorCode::data_loss, "it is version {}, older than version {} that is here",
                  timestamp.version, timestamp_->version);
    }
    if (timestamp.version == timestamp_->version) {
      SEGUE_TRY(check_expiry(*timestamp_, kTimestamp));
      return false;
    }
    if (timestamp.snapshot.version < timestamp_->snapshot.version) {
      return fail(ErrorCode::data_loss,
                  "it names version {} of snapshot, older than version {} that was named before",
                  timestamp.snapshot.version, timestamp_->snapshot.version);
    }
  }
  SEGUE_TRY(check_expiry(timestamp, kTimestamp));
  timestamp_ = std::move(timestamp);
  return true;
}

Result<bool> TrustedMetadata::recall_snapshot(std::string_view bytes) {
  SEGUE_ASSIGN(snapshot_, verified<Snapshot>(bytes));
  return check_described(bytes, timestamp_->snapshot) &&
         check_version(*snapshot_, timestamp_->snapshot) && !snapshot_->is_expired(now_);
}

Result<void> TrustedMetadata::update_snapshot(std::string_view bytes) {
  SEGUE_TRY(check_described(bytes, timestamp_->snapshot));
  SEGUE_ASSIGN(Snapshot snapshot, verified<Snapshot>(bytes));
  SEGUE_TRY(check_version(snapshot, timestamp_->snapshot));
  SEGUE_TRY(check_no_rollback(snapshot));
  SEGUE_TRY(check_expiry(snapshot, kSnapshot));
  snapshot_ = std::move(snapshot);
  return {};
}

Result<void> TrustedMetadata::check_no_rollback(const Snapshot& snapshot) const {
  if (!snapshot_) return {};
  for (const auto& [role, known] : snapshot_->meta) {
    const auto found = snapshot.meta.find(role);
    if (found == snapshot.meta.end()) {
      return fail(ErrorCode::data_loss, "it no longer names the role '{}'", role);
    }
    if (found->second.version < known.version) {
      return fail(ErrorCode::data_loss,
                  "it names version {} of '{}', older than version {} that was named before",
                  found->second.version, role, known.version);
    }
  }
  return {};
}

Result<Targets> TrustedMetadata::check_targets(std::string_view bytes) const {
  return check_role(bytes, root_.keys, root_.roles.at(std::string(kTargets)), kTargets);
}

Result<Targets> TrustedMetadata::check_delegated(std::string_view bytes,
                                                 const Delegations& delegator,
                                                 const DelegatedRole& role) const {
  return check_role(bytes, delegator.keys, role.keys, role.name);
}

Result<Targets> TrustedMetadata::check_role(std::string_view bytes, const Keys& keys,
                                            const RoleKeys& role_keys,
                                            std::string_view role) const {
  const auto described = snapshot_->meta.find(std::string(role));
  if (described == snapshot_->meta.end()) {
    return fail(ErrorCode::data_loss, "snapshot does not name the role '{}'", role);
  }
  SEGUE_TRY(check_described(bytes, described->second));
  SEGUE_ASSIGN(const Envelope envelope, parse_envelope(bytes));
  SEGUE_TRY(verify(envelope, keys, role_keys, role));
  SEGUE_ASSIGN(Targets targets, from_json<Targets>(envelope.signed_part));
  SEGUE_TRY(check_version(targets, described->second));
  SEGUE_TRY(check_expiry(targets, role));
  return targets;
}

}  // namespace segue::tuf
