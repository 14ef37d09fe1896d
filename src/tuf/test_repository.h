// SPDX-License-Identifier: Apache-2.0
// A repository and a client's disk in memory, for tests: honest by default, and every file of it
// can be replaced by what an attacker would serve.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tuf/client.h"
#include "tuf/repository.h"

namespace segue::tuf {

inline constexpr Time kTestNow{std::chrono::sys_days(std::chrono::year(2030) / 1 / 1)};
inline constexpr Time kLater = kTestNow + std::chrono::days(30);
inline constexpr Time kEarlier = kTestNow - std::chrono::days(1);

// The same number makes the same key.
crypto::PrivateKey test_key(unsigned number);

class TestRepository {
 public:
  // Each top-level role has one key of its own.
  explicit TestRepository(bool consistent = true);

  Root root;
  Timestamp timestamp;
  Snapshot snapshot;
  std::map<std::string, Targets> roles;  // "targets" and delegated ones
  std::map<std::string, std::vector<crypto::PrivateKey>> signers;
  bool describe_files = false;  // with lengths and digests

  // Gives the role another key that signs, besides those it has. For delegated roles the key is in
  // `delegator`.
  void add_key(const std::string& role, unsigned number, const std::string& delegator = "targets");
  // Takes all keys of a top-level role away, and gives it this one.
  void rotate(const std::string& role, unsigned number);
  void delegate(const std::string& delegator, DelegatedRole role);

  // Signs the role as it is; with `bump` as its next version. Those that describe it learn of it.
  void publish(const std::string& role, bool bump = true);
  // Of all top-level roles but root.
  void publish_all();

  std::map<std::string, std::string> files;  // what is served
  // Called before a file is served.
  std::function<void(const std::string& file)> before_fetch;

 private:
  void describe(std::uint64_t version, const std::string& bytes, MetaFile& file) const;
};

// A client with a disk, driven against a repository.
class TestClient {
 public:
  TestClient(TestRepository& repository, ClientLimits limits = {});

  base::Result<void> refresh(Time now = kTestNow);
  base::Result<FoundTarget> find(const std::string& path);
  base::Result<Targets> find_role(const std::string& path);

  [[nodiscard]] std::uint64_t version(const std::string& role) const;  // 0: nothing is kept

  std::map<std::string, std::string> disk;  // by role
  std::vector<std::string> fetched;         // names of files, in order
  std::vector<std::string> story;           // every command, as "persist root"
  bool disk_fails = false;

 private:
  base::Result<void> run(Command command);
  Event carry_out(const Command& command);

  TestRepository& repository_;
  Client client_;
};

}  // namespace segue::tuf
