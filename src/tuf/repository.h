// SPDX-License-Identifier: Apache-2.0
// The publisher's side: new versions of metadata from the ones before (specification 1.0, section
// 6). Values in, files out; nothing here reads a clock or a disk.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "crypto/keys.h"
#include "tuf/envelope.h"
#include "tuf/metadata.h"

namespace segue::tuf {

// ---- Root

// What is to become of one role's keys.
struct RoleChange {
  std::string role;
  std::vector<Key> add;
  std::vector<std::string> remove;  // key ids
  std::optional<std::uint64_t> threshold;
};

// The first root, still unsigned: sign it with sign_metadata(). invalid_argument: a role without
// keys, a threshold that its keys cannot reach, a key to remove that the role does not have.
base::Result<Root> make_root(const std::vector<RoleChange>& roles, Time expires);

// The root after `root`: one version up. To be signed by the keys of both.
base::Result<Root> next_root(const Root& root, const std::vector<RoleChange>& changes,
                             Time expires);

// How many more signatures a root needs, by its own keys and by those of the one before it (null:
// it is the first).
struct MissingSignatures {
  std::uint64_t own = 0;
  std::uint64_t of_predecessor = 0;
  [[nodiscard]] bool none() const { return own == 0 && of_predecessor == 0; }
};
base::Result<MissingSignatures> missing_signatures(std::string_view root_bytes,
                                                   const Root* predecessor);

// ---- All of a repository's metadata

struct RepositoryFile {
  std::string name;  // below the metadata's URL
  std::string bytes;
};

// The private keys at hand, by role.
using Signers = std::map<std::string, std::vector<crypto::PrivateKey>>;

struct Lifetimes {
  std::chrono::seconds targets = std::chrono::days(365);
  std::chrono::seconds snapshot = std::chrono::days(365);
  std::chrono::seconds timestamp = std::chrono::days(7);
};

// What is there, and what was changed since. Copyable: change a copy, publish it, and keep it once
// its files are written.
class Repository {
 public:
  // An empty one under a signed root (of any version).
  static base::Result<Repository> create(std::string_view root_bytes);

  // What was published, verified as a client would, only that it may have expired. `role_bytes`
  // holds "targets" and every delegated role that the snapshot names.
  static base::Result<Repository> open(std::string_view root_bytes,
                                       std::string_view timestamp_bytes,
                                       std::string_view snapshot_bytes,
                                       const std::map<std::string, std::string>& role_bytes);

  [[nodiscard]] const Root& root() const { return root_; }
  [[nodiscard]] const Timestamp& timestamp() const { return timestamp_; }
  [[nodiscard]] const Snapshot& snapshot() const { return snapshot_; }
  // Null: there is no such role.
  [[nodiscard]] const Targets* role(std::string_view name = kTargets) const;

  // A role of targets, to change; it becomes part of the next publication.
  base::Result<Targets*> edit(std::string_view name = kTargets);

  // Delegates from `delegator` to `role`, behind those it delegates to already; in place of an
  // earlier delegation to it, at that one's place. A role that is new starts without targets.
  base::Result<void> delegate(std::string_view delegator, DelegatedRole role,
                              const std::vector<Key>& keys);

  // The next publication has a new snapshot, whatever else was changed.
  void renew_snapshot();

  // Somebody may have seen the version: what the role says next gets a higher one, so that a number
  // never stands for two files. `role` is one of targets, or "snapshot".
  void use_up(std::string_view role, std::uint64_t version);

  // The next root, complete with its signatures. Roles whose keys have changed are signed anew by
  // the next publication.
  base::Result<void> adopt_root(std::string_view root_bytes);

  // New versions of all that was changed, of the snapshot if a role was, and of the timestamp. The
  // files stand in the order in which they have to be written: whoever reads in between finds the
  // old state or the new, whole. failed_precondition names the role that lacks signers; then
  // nothing has changed.
  base::Result<std::vector<RepositoryFile>> publish(const Signers& signers, Time now,
                                                    const Lifetimes& lifetimes = {});

 private:
  Repository() = default;
  [[nodiscard]] std::string versioned(std::string_view role, std::uint64_t version) const;
  // Those who may sign for a role of targets: the root's word, or the first delegation's to it.
  struct Authority {
    const Keys* keys;
    const RoleKeys* role;
  };
  [[nodiscard]] base::Result<Authority> authority_of(std::string_view role) const;
  [[nodiscard]] base::Result<std::string> sign_as(std::string_view role, const Json& signed_part,
                                                  const Signers& signers) const;
  base::Result<void> read_roles(const std::map<std::string, std::string>& role_bytes);
  void mark_roles_with_new_keys(const Root& before);
  [[nodiscard]] std::uint64_t version_after(std::string_view role, std::uint64_t version) const;

  Root root_;
  std::string root_bytes_;
  Timestamp timestamp_;
  Snapshot snapshot_;
  std::map<std::string, Targets, std::less<>> roles_;
  std::set<std::string, std::less<>> changed_;  // roles of targets, and "snapshot"
  std::map<std::string, std::uint64_t, std::less<>> used_up_;
  bool root_changed_ = false;
  bool published_ = false;  // timestamp_ and snapshot_ exist
};

}  // namespace segue::tuf
