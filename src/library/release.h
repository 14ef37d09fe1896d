// SPDX-License-Identifier: Apache-2.0
// What a release is, as signed metadata says it: protocol/library.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "control/name.h"
#include "delta/delta.h"
#include "delta/digest.h"
#include "tuf/metadata.h"

namespace segue::library {

using control::check_version;

// A file of the library that never changes: its name is the digest of its bytes.
struct ObjectRef {
  std::uint64_t length = 0;
  delta::Digest sha256;
  friend bool operator==(const ObjectRef&, const ObjectRef&) = default;
};

// Below the library's URL or directory: "objects/ab/ab12…".
std::string object_path(const delta::Digest& sha256);
inline constexpr std::string_view kMetadataFolder = "metadata";
inline constexpr std::string_view kObjectsFolder = "objects";

// 64 lower-case digits and nothing else.
std::optional<delta::Digest> digest_from_hex(std::string_view digits);

// That the bytes are the object. data_loss says how they differ. Before it passed, nothing of the
// bytes is to be parsed.
base::Result<void> check_object(delta::ByteView bytes, const ObjectRef& object);

struct ReleaseDelta {
  std::string from;  // a version of the same component
  ObjectRef object;
  friend bool operator==(const ReleaseDelta&, const ReleaseDelta&) = default;
};

// Deltas that are being made since the release was announced. A host that has one of those trees
// waits for the delta rather than fetch chunks.
struct PendingDeltas {
  tuf::Time until{};              // and no longer
  std::vector<std::string> from;  // versions of the same component
  friend bool operator==(const PendingDeltas&, const PendingDeltas&) = default;
};

enum class ReleaseKind : std::uint8_t {
  tree,   // the tree as it is
  image,  // a container image, stored as a tree
};
std::string_view to_string(ReleaseKind kind);

struct Release {
  std::string component;
  std::string version;
  ReleaseKind kind = ReleaseKind::tree;
  ObjectRef contents;       // contents.h
  delta::Digest root;       // of its tree's manifest
  std::uint64_t bytes = 0;  // of all regular files together: what apply_delta() is bounded by
  std::uint64_t files = 0;  // regular files and hard links
  tuf::Time published{};
  std::string commit;  // empty: not said
  std::vector<ReleaseDelta> deltas;
  std::optional<PendingDeltas> pending;
  tuf::Json extra = tuf::Json::object();  // what this version does not know, kept as it is
  friend bool operator==(const Release&, const Release&) = default;
};

inline constexpr std::uint64_t kMaxReleaseBytes = std::uint64_t{1} << 50;
inline constexpr std::uint64_t kMaxContentsBytes = std::uint64_t{1} << 31;  // stored, and unpacked
inline constexpr std::size_t kMaxCommitBytes = 128;
inline constexpr std::size_t kMaxDeltas = 16;  // of one release

// 1 to 128 printable ASCII characters without spaces.
base::Result<void> check_commit(std::string_view commit);
// The role of plans (plan_target.h).
inline constexpr std::string_view kPlansRole = "plans";
// A name that control::check_name() takes, and none of TUF's own roles nor that of plans.
base::Result<void> check_component(std::string_view component);

// The target's path in the role COMPONENT.
std::string target_path(std::string_view component, std::string_view version);

// The release must be one that parse_release() takes; a fault aborts.
tuf::TargetFile to_target(const Release& release);

// `path` names the target. data_loss says what is missing, wrong or out of bounds;
// failed_precondition: a kind of release that only a later program knows.
base::Result<Release> parse_release(std::string_view path, const tuf::TargetFile& target);

// All releases that a component's role has, the oldest first; those that cannot be read are named.
struct ReleaseList {
  std::vector<Release> releases;
  std::vector<base::Error> refused;

  // Null: there is none.
  [[nodiscard]] const Release* find_version(std::string_view version) const;
  // The newest one with this root.
  [[nodiscard]] const Release* find_root(const delta::Digest& root) const;
};
ReleaseList releases_of(std::string_view component, const tuf::Targets& role);

// The delta to `release` from a tree with this root, whatever it was published as. Null: none.
const ReleaseDelta* delta_from(const ReleaseList& list, const Release& release,
                               const delta::Digest& root);

}  // namespace segue::library
