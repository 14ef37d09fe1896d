// SPDX-License-Identifier: Apache-2.0
// The values of TUF metadata (specification 1.0, section 4). Fields that the specification does not
// know are kept in `extra`, so that what is read and written again stays the same.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "crypto/keys.h"
#include "tuf/json.h"

namespace segue::tuf {

inline constexpr std::string_view kRoot = "root";
inline constexpr std::string_view kTimestamp = "timestamp";
inline constexpr std::string_view kSnapshot = "snapshot";
inline constexpr std::string_view kTargets = "targets";
inline constexpr std::string_view kSpecVersion = "1.0.31";

// A role's name in the names of files: percent-encoded (RFC 3986, section 2.1), never longer.
inline constexpr std::size_t kMaxEncodedRoleBytes = 200;

[[nodiscard]] bool is_top_level(std::string_view role);

// In UTC; metadata knows no fractions of a second.
using Time = std::chrono::sys_seconds;
// "2030-01-31T12:00:00Z" and nothing else.
base::Result<Time> parse_time(std::string_view text);
std::string to_string(Time time);

// A public key as metadata states it. Its id is the SHA-256 of the canonical form of `json`.
struct Key {
  Json json;
  std::string id;
  // Nothing when it is of a kind that is not supported: then none of its signatures counts.
  std::optional<crypto::PublicKey> key;

  static Key of(const crypto::PublicKey& key);
  // data_loss: it is not that of a key, or `id` does not belong to it.
  static base::Result<Key> parse(const std::string& id, const Json& json);
};
using Keys = std::map<std::string, Key>;  // by id

// Who may sign for a role, and how many of them have to.
struct RoleKeys {
  std::vector<std::string> key_ids;  // each once
  std::uint64_t threshold = 1;
  Json extra = Json::object();
};

struct Common {
  std::string spec_version = std::string(kSpecVersion);
  std::uint64_t version = 1;
  Time expires{};
  Json extra = Json::object();

  [[nodiscard]] bool is_expired(Time now) const { return expires <= now; }
};

struct Root : Common {
  static constexpr std::string_view kType = kRoot;
  std::optional<bool> consistent_snapshot = true;
  Keys keys;
  std::map<std::string, RoleKeys> roles;  // always holds the four top-level ones
};

// Algorithm ("sha256", "sha512", …) to lower-case hexadecimal digits.
using Hashes = std::map<std::string, std::string>;

// What one file of metadata says of another.
struct MetaFile {
  std::uint64_t version = 1;
  std::optional<std::uint64_t> length;
  Hashes hashes;  // none: not stated
  Json extra = Json::object();
};

struct Timestamp : Common {
  static constexpr std::string_view kType = kTimestamp;
  MetaFile snapshot;
};

struct Snapshot : Common {
  static constexpr std::string_view kType = kSnapshot;
  std::map<std::string, MetaFile> meta;  // by the role's name, without ".json"
};

struct TargetFile {
  std::uint64_t length = 0;
  Hashes hashes;
  Json custom;  // null: none. Opaque, an object; kept as it is
  Json extra = Json::object();
};

struct DelegatedRole {
  std::string name;
  RoleKeys keys;
  bool terminating = false;
  // Exactly one of the two, or neither: then it is trusted with nothing.
  std::optional<std::vector<std::string>> paths;
  std::optional<std::vector<std::string>> path_hash_prefixes;

  // Whether it is trusted with this path.
  [[nodiscard]] bool covers(std::string_view target_path) const;
};

struct Delegations {
  Keys keys;
  std::vector<DelegatedRole> roles;  // the first comes first
  Json extra = Json::object();
};

struct Targets : Common {
  static constexpr std::string_view kType = kTargets;
  std::map<std::string, TargetFile> targets;  // by path
  std::optional<Delegations> delegations;
};

// The "signed" part as a value. data_loss names the field that is missing or wrong.
template <class Metadata>
base::Result<Metadata> from_json(const Json& json);
template <>
base::Result<Root> from_json(const Json& json);
template <>
base::Result<Timestamp> from_json(const Json& json);
template <>
base::Result<Snapshot> from_json(const Json& json);
template <>
base::Result<Targets> from_json(const Json& json);

Json to_json(const Root& root);
Json to_json(const Timestamp& timestamp);
Json to_json(const Snapshot& snapshot);
Json to_json(const Targets& targets);

// A path in a role's pattern: '*', '?' and [sets] stand for anything but '/' (glob(7)).
bool matches_pattern(std::string_view path, std::string_view pattern);

// Everything but letters, digits and "-._~" as %XX; `kept` stays too.
std::string percent_encode(std::string_view text, std::string_view kept = "");

// That the bytes are as long as stated and have the digests that are stated. data_loss otherwise,
// also when no algorithm among them is known.
base::Result<void> check_hashes(std::string_view bytes, const Hashes& hashes);

}  // namespace segue::tuf
