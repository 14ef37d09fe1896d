// SPDX-License-Identifier: Apache-2.0
#include "tuf/metadata.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/assert.h"
#include "crypto/digest.h"
#include "tuf/fields.h"

namespace segue::tuf {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::string_view kSuffix = ".json";

// ---- Reading

Result<void> read_common(Fields& fields, std::string_view type, Common& common) {
  SEGUE_ASSIGN(const std::string found_type, fields.string("_type"));
  if (found_type != type) {
    return fail(ErrorCode::data_loss, "{} is of the type '{}' and not '{}'", fields.what(),
                found_type.substr(0, 40), type);
  }
  SEGUE_ASSIGN(common.spec_version, fields.string("spec_version"));
  if (!common.spec_version.starts_with("1.")) {
    return fail(ErrorCode::failed_precondition,
                "{} follows version {} of the specification, this program reads 1.x", fields.what(),
                common.spec_version.substr(0, 40));
  }
  SEGUE_ASSIGN(common.version, fields.number("version", 1));
  SEGUE_ASSIGN(const std::string expires, fields.string("expires"));
  SEGUE_ASSIGN(common.expires, parse_time(expires));
  return {};
}

Result<Keys> read_keys(Fields& fields) {
  SEGUE_ASSIGN(Fields objects, fields.object("keys"));
  Keys keys;
  const Json all = std::move(objects).rest();
  for (const auto& [id, json] : all.items()) {
    SEGUE_ASSIGN(Key key, Key::parse(id, json));
    keys.emplace(id, std::move(key));
  }
  return keys;
}

// Leaves the rest to the caller: a delegated role has more fields.
Result<RoleKeys> read_role_keys(Fields& fields) {
  RoleKeys role;
  SEGUE_ASSIGN(role.key_ids, fields.strings("keyids"));
  if (std::set(role.key_ids.begin(), role.key_ids.end()).size() != role.key_ids.size()) {
    return fail(ErrorCode::data_loss, "{} names a key twice", fields.what());
  }
  SEGUE_ASSIGN(role.threshold, fields.number("threshold", 1));
  return role;
}

bool is_lower_hex(std::string_view text) {
  return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Result<Hashes> read_hashes(Json json, const std::string& what) {
  SEGUE_ASSIGN(Fields fields, Fields::of(std::move(json), "'hashes' of " + what));
  const Json all = std::move(fields).rest();
  Hashes hashes;
  for (const auto& [name, digest] : all.items()) {
    if (!digest.is_string()) {
      return fail(ErrorCode::data_loss, "a digest of {} is not a string", what);
    }
    const auto& digits = digest.get_ref<const std::string&>();
    const std::size_t expected = name == "sha256" ? 64 : name == "sha512" ? 128 : digits.size();
    // They become part of the names of files.
    if (digits.size() != expected || digits.empty() || !is_lower_hex(digits)) {
      return fail(ErrorCode::data_loss, "the {} of {} is not one", name.substr(0, 40), what);
    }
    hashes.emplace(name, digits);
  }
  if (hashes.empty()) return fail(ErrorCode::data_loss, "'hashes' of {} is empty", what);
  return hashes;
}

Result<MetaFile> read_meta_file(Json json, const std::string& what) {
  SEGUE_ASSIGN(Fields fields, Fields::of(std::move(json), what));
  MetaFile file;
  SEGUE_ASSIGN(file.version, fields.number("version", 1));
  SEGUE_ASSIGN(file.length, fields.number_if_any("length"));
  if (Json hashes = fields.take_if_any("hashes"); !hashes.is_null()) {
    SEGUE_ASSIGN(file.hashes, read_hashes(std::move(hashes), what));
  }
  file.extra = std::move(fields).rest();
  return file;
}

Result<TargetFile> read_target_file(Json json, const std::string& what) {
  SEGUE_ASSIGN(Fields fields, Fields::of(std::move(json), what));
  TargetFile file;
  SEGUE_ASSIGN(file.length, fields.number("length", 0));
  SEGUE_ASSIGN(Json hashes, fields.take("hashes"));
  SEGUE_ASSIGN(file.hashes, read_hashes(std::move(hashes), what));
  file.custom = fields.take_if_any("custom");
  if (!file.custom.is_null() && !file.custom.is_object()) {
    return fail(ErrorCode::data_loss, "'custom' of {} is not an object", what);
  }
  file.extra = std::move(fields).rest();
  return file;
}

Result<void> check_delegated_name(const std::string& name) {
  if (is_top_level(name)) {
    return fail(ErrorCode::data_loss, "a delegated role has the name of the role '{}'", name);
  }
  if (name.empty() || percent_encode(name).size() > kMaxEncodedRoleBytes) {
    return fail(ErrorCode::data_loss, "the name of a delegated role is empty or too long: '{}'",
                name.substr(0, 40));
  }
  return {};
}

Result<DelegatedRole> read_delegated_role(Json json) {
  SEGUE_ASSIGN(Fields fields, Fields::of(std::move(json), "a delegation"));
  DelegatedRole role;
  SEGUE_ASSIGN(role.name, fields.string("name"));
  SEGUE_TRY(check_delegated_name(role.name));
  SEGUE_ASSIGN(role.keys, read_role_keys(fields));
  SEGUE_ASSIGN(const auto terminating, fields.boolean_if_any("terminating"));
  role.terminating = terminating.value_or(false);
  SEGUE_ASSIGN(role.paths, fields.strings_if_any("paths"));
  SEGUE_ASSIGN(role.path_hash_prefixes, fields.strings_if_any("path_hash_prefixes"));
  if (role.paths && role.path_hash_prefixes) {
    return fail(ErrorCode::data_loss, "the delegation to '{}' has paths and path_hash_prefixes",
                role.name);
  }
  role.keys.extra = std::move(fields).rest();
  return role;
}

Result<Delegations> read_delegations(Json json) {
  SEGUE_ASSIGN(Fields fields, Fields::of(std::move(json), "'delegations'"));
  Delegations delegations;
  SEGUE_ASSIGN(delegations.keys, read_keys(fields));
  SEGUE_ASSIGN(Json roles, fields.take("roles"));
  if (!roles.is_array()) return fail(ErrorCode::data_loss, "'roles' of delegations is not a list");
  std::set<std::string> names;
  for (auto& role_json : roles) {
    SEGUE_ASSIGN(DelegatedRole role, read_delegated_role(std::move(role_json)));
    if (!names.insert(role.name).second) {
      return fail(ErrorCode::data_loss, "the role '{}' is delegated twice", role.name);
    }
    delegations.roles.push_back(std::move(role));
  }
  delegations.extra = std::move(fields).rest();
  return delegations;
}

// ---- Writing

Json with_common(std::string_view type, const Common& common) {
  Json json = common.extra;
  json["_type"] = type;
  json["spec_version"] = common.spec_version;
  json["version"] = common.version;
  json["expires"] = to_string(common.expires);
  return json;
}

Json to_json(const Keys& keys) {
  Json json = Json::object();
  for (const auto& [id, key] : keys) json[id] = key.json;
  return json;
}

Json to_json(const RoleKeys& role) {
  Json json = role.extra;
  json["keyids"] = role.key_ids;
  json["threshold"] = role.threshold;
  return json;
}

Json to_json(const MetaFile& file) {
  Json json = file.extra;
  json["version"] = file.version;
  if (file.length) json["length"] = *file.length;
  if (!file.hashes.empty()) json["hashes"] = file.hashes;
  return json;
}

Json to_json(const TargetFile& file) {
  Json json = file.extra;
  json["length"] = file.length;
  json["hashes"] = file.hashes;
  if (!file.custom.is_null()) json["custom"] = file.custom;
  return json;
}

Json to_json(const DelegatedRole& role) {
  Json json = to_json(role.keys);
  json["name"] = role.name;
  json["terminating"] = role.terminating;
  if (role.paths) json["paths"] = *role.paths;
  if (role.path_hash_prefixes) json["path_hash_prefixes"] = *role.path_hash_prefixes;
  return json;
}

Json to_json(const Delegations& delegations) {
  Json json = delegations.extra;
  json["keys"] = to_json(delegations.keys);
  Json& roles = json["roles"] = Json::array();
  for (const auto& role : delegations.roles) roles.push_back(to_json(role));
  return json;
}

}  // namespace

bool is_top_level(std::string_view role) {
  return role == kRoot || role == kTimestamp || role == kSnapshot || role == kTargets;
}

template <>
Result<Root> from_json(const Json& json) {
  SEGUE_ASSIGN(Fields fields, Fields::of(json, "root"));
  Root root;
  SEGUE_TRY(read_common(fields, Root::kType, root));
  SEGUE_ASSIGN(root.consistent_snapshot, fields.boolean_if_any("consistent_snapshot"));
  SEGUE_ASSIGN(root.keys, read_keys(fields));
  SEGUE_ASSIGN(Fields roles, fields.object("roles"));
  for (const auto name : {kRoot, kTimestamp, kSnapshot, kTargets}) {
    SEGUE_ASSIGN(Fields role_fields, roles.object(std::string(name)));
    SEGUE_ASSIGN(RoleKeys role, read_role_keys(role_fields));
    role.extra = std::move(role_fields).rest();
    root.roles.emplace(name, std::move(role));
  }
  const Json others = std::move(roles).rest();
  for (const auto& [name, other] : others.items()) {  // "mirrors", and what may come
    SEGUE_ASSIGN(Fields role_fields, Fields::of(other, "a role of root"));
    SEGUE_ASSIGN(RoleKeys role, read_role_keys(role_fields));
    role.extra = std::move(role_fields).rest();
    root.roles.emplace(name, std::move(role));
  }
  root.extra = std::move(fields).rest();
  return root;
}

template <>
Result<Timestamp> from_json(const Json& json) {
  SEGUE_ASSIGN(Fields fields, Fields::of(json, "timestamp"));
  Timestamp timestamp;
  SEGUE_TRY(read_common(fields, Timestamp::kType, timestamp));
  SEGUE_ASSIGN(Fields meta, fields.object("meta"));
  SEGUE_ASSIGN(Json snapshot, meta.take("snapshot.json"));
  SEGUE_ASSIGN(timestamp.snapshot,
               read_meta_file(std::move(snapshot), "'snapshot.json' of timestamp"));
  if (!std::move(meta).rest().empty()) {
    return fail(ErrorCode::data_loss, "timestamp describes more than snapshot.json");
  }
  timestamp.extra = std::move(fields).rest();
  return timestamp;
}

template <>
Result<Snapshot> from_json(const Json& json) {
  SEGUE_ASSIGN(Fields fields, Fields::of(json, "snapshot"));
  Snapshot snapshot;
  SEGUE_TRY(read_common(fields, Snapshot::kType, snapshot));
  SEGUE_ASSIGN(Fields meta, fields.object("meta"));
  const Json files = std::move(meta).rest();
  for (const auto& [name, file_json] : files.items()) {
    if (!name.ends_with(kSuffix)) {
      return fail(ErrorCode::data_loss, "snapshot names '{}', which is no file of metadata",
                  name.substr(0, 40));
    }
    SEGUE_ASSIGN(MetaFile file, read_meta_file(file_json, "a file of snapshot"));
    snapshot.meta.emplace(name.substr(0, name.size() - kSuffix.size()), std::move(file));
  }
  snapshot.extra = std::move(fields).rest();
  return snapshot;
}

template <>
Result<Targets> from_json(const Json& json) {
  SEGUE_ASSIGN(Fields fields, Fields::of(json, "targets"));
  Targets targets;
  SEGUE_TRY(read_common(fields, Targets::kType, targets));
  SEGUE_ASSIGN(Fields files, fields.object("targets"));
  const Json all = std::move(files).rest();
  for (const auto& [path, file_json] : all.items()) {
    SEGUE_ASSIGN(TargetFile file, read_target_file(file_json, "a target"));
    targets.targets.emplace(path, std::move(file));
  }
  if (Json delegations = fields.take_if_any("delegations"); !delegations.is_null()) {
    SEGUE_ASSIGN(targets.delegations, read_delegations(std::move(delegations)));
  }
  targets.extra = std::move(fields).rest();
  return targets;
}

Json to_json(const Root& root) {
  Json json = with_common(Root::kType, root);
  if (root.consistent_snapshot) json["consistent_snapshot"] = *root.consistent_snapshot;
  json["keys"] = to_json(root.keys);
  Json& roles = json["roles"] = Json::object();
  for (const auto& [name, role] : root.roles) roles[name] = to_json(role);
  return json;
}

Json to_json(const Timestamp& timestamp) {
  Json json = with_common(Timestamp::kType, timestamp);
  json["meta"]["snapshot.json"] = to_json(timestamp.snapshot);
  return json;
}

Json to_json(const Snapshot& snapshot) {
  Json json = with_common(Snapshot::kType, snapshot);
  Json& meta = json["meta"] = Json::object();
  for (const auto& [role, file] : snapshot.meta) meta[role + std::string(kSuffix)] = to_json(file);
  return json;
}

Json to_json(const Targets& targets) {
  Json json = with_common(Targets::kType, targets);
  Json& files = json["targets"] = Json::object();
  for (const auto& [path, file] : targets.targets) files[path] = to_json(file);
  if (targets.delegations) json["delegations"] = to_json(*targets.delegations);
  return json;
}

}  // namespace segue::tuf
