// SPDX-License-Identifier: Apache-2.0
// The publisher's side, read by the client of this library.
#include "tuf/repository.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/digest.h"
#include "tuf/test_repository.h"

namespace segue::tuf {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::vector<RoleChange> four_roles() {
  std::vector<RoleChange> roles;
  unsigned number = 1;
  for (const auto role : {kRoot, kTimestamp, kSnapshot, kTargets}) {
    roles.push_back({std::string(role), {Key::of(test_key(number++).public_key())}, {}, {}});
  }
  return roles;
}

Signers signers() {
  return {{"timestamp", {test_key(2)}}, {"snapshot", {test_key(3)}}, {"targets", {test_key(4)}}};
}

std::string first_root() {
  return sign_metadata(make_root(four_roles(), kLater).value(), {test_key(1)}).value();
}

TargetFile target(const std::string& bytes) {
  TargetFile file;
  file.length = bytes.size();
  file.hashes["sha256"] = crypto::to_hex(crypto::digest_of(bytes));
  return file;
}

std::vector<std::string> names(const std::vector<RepositoryFile>& files) {
  std::vector<std::string> names;
  for (const auto& file : files) names.push_back(file.name);
  return names;
}

// What is published, as a server would serve it.
class Published : public testing::Test {
 protected:
  void publish(const Signers& with = signers(), Time now = kTestNow) {
    const auto files = repository_.publish(with, now).value();
    for (const auto& file : files) {
      server_.files[file.name] = file.bytes;
    }
  }
  Repository reopened() {
    const auto file = [&](const std::string& name) { return server_.files.at(name); };
    std::map<std::string, std::string> roles;
    for (const auto& [role, meta] : repository_.snapshot().meta) {
      roles[role] = file(fmt::format("{}.{}", meta.version, file_name_of(role)));
    }
    return Repository::open(file(fmt::format("{}.root.json", repository_.root().version)),
                            file("timestamp.json"),
                            file(fmt::format("{}.snapshot.json", repository_.snapshot().version)),
                            roles)
        .value();
  }

  Repository repository_ = Repository::create(first_root()).value();
  TestRepository server_;
};

TEST_F(Published, is_taken_by_a_client) {
  server_.files.clear();
  TargetFile file = target("release");
  file.custom = Json{{"component", "chat"}, {"sizes", {1, 2, 3}}};
  repository_.edit().value()->targets["chat/1"] = file;
  publish();
  TestClient client(server_);
  ASSERT_TRUE(client.refresh());
  EXPECT_EQ(client.find("chat/1").value().file.custom, file.custom);
}

TEST_F(Published, writes_what_others_point_to_first) {
  EXPECT_THAT(names(repository_.publish(signers(), kTestNow).value()),
              ElementsAre("1.root.json", "1.targets.json", "1.snapshot.json", "timestamp.json"));
  EXPECT_THAT(names(repository_.publish(signers(), kTestNow).value()),
              ElementsAre("timestamp.json"));
  ASSERT_TRUE(repository_.edit());
  EXPECT_THAT(names(repository_.publish(signers(), kTestNow).value()),
              ElementsAre("2.targets.json", "2.snapshot.json", "timestamp.json"));
}

TEST_F(Published, names_the_snapshot_by_its_version_and_the_roles_by_their_digests_too) {
  publish();
  EXPECT_TRUE(repository_.timestamp().snapshot.hashes.empty());
  EXPECT_FALSE(repository_.timestamp().snapshot.length);
  const MetaFile& targets = repository_.snapshot().meta.at("targets");
  EXPECT_TRUE(check_hashes(server_.files.at("1.targets.json"), targets.hashes));
  EXPECT_FALSE(targets.length);
}

TEST_F(Published, takes_versions_that_are_not_used_up) {
  repository_.use_up("targets", 3);
  repository_.use_up("targets", 2);
  repository_.use_up("snapshot", 7);
  EXPECT_THAT(names(repository_.publish(signers(), kTestNow).value()),
              ElementsAre("1.root.json", "4.targets.json", "8.snapshot.json", "timestamp.json"));
  ASSERT_TRUE(repository_.edit());
  EXPECT_THAT(names(repository_.publish(signers(), kTestNow).value()),
              ElementsAre("5.targets.json", "9.snapshot.json", "timestamp.json"));
}

TEST_F(Published, needs_only_the_timestamps_key_to_stay_fresh) {
  publish();
  const auto files = repository_.publish({{"timestamp", {test_key(2)}}}, kTestNow);
  ASSERT_TRUE(files);
  EXPECT_EQ(repository_.timestamp().version, 2U);
}

TEST_F(Published, without_a_roles_key_changes_nothing) {
  publish();
  repository_.edit().value()->targets["x"] = target("x");
  const auto refused = repository_.publish({{"timestamp", {test_key(2)}}}, kTestNow);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), base::ErrorCode::failed_precondition);
  EXPECT_THAT(refused.error().message(), HasSubstr("'targets' needs 1 signatures"));
  EXPECT_EQ(repository_.timestamp().version, 1U);
  EXPECT_THAT(names(repository_.publish(signers(), kTestNow).value()),
              ElementsAre("2.targets.json", "2.snapshot.json", "timestamp.json"));
}

TEST_F(Published, does_not_take_another_key_for_a_roles_key) {
  Signers wrong = signers();
  wrong["targets"] = {test_key(77)};
  EXPECT_FALSE(repository_.publish(wrong, kTestNow));
}

TEST_F(Published, goes_on_from_its_files) {
  DelegatedRole team;
  team.name = "team";
  team.paths = std::vector<std::string>{"team/*"};
  ASSERT_TRUE(repository_.delegate(kTargets, team, {Key::of(test_key(10).public_key())}));
  repository_.edit("team").value()->targets["team/a"] = target("a");
  Signers with = signers();
  with["team"] = {test_key(10)};
  publish(with);

  Repository again = reopened();
  EXPECT_TRUE(again.role("team")->targets.contains("team/a"));
  again.edit("team").value()->targets["team/b"] = target("b");
  const auto files = again.publish(with, kTestNow).value();
  for (const auto& file : files) {
    server_.files[file.name] = file.bytes;
  }
  TestClient client(server_);
  client.disk["root"] = first_root();
  ASSERT_TRUE(client.refresh());
  EXPECT_EQ(client.find("team/b").value().role, "team");
  EXPECT_EQ(client.version("targets"), 1U) << "only the delegated role was signed again";
}

TEST_F(Published, takes_a_next_root_and_signs_anew_what_it_asks_for) {
  publish();
  TestClient client(server_);
  client.disk["root"] = first_root();
  ASSERT_TRUE(client.refresh());
  // The key of targets is lost: another one takes its place.
  const RoleChange change{
      "targets", {Key::of(test_key(44).public_key())}, {Key::of(test_key(4).public_key()).id}, {}};
  const Root next = next_root(repository_.root(), {change}, kLater).value();
  const std::string bytes = sign_metadata(next, {test_key(1)}).value();
  EXPECT_TRUE(missing_signatures(bytes, &repository_.root()).value().none());
  ASSERT_TRUE(repository_.adopt_root(bytes));
  EXPECT_FALSE(repository_.publish(signers(), kTestNow)) << "with the old key";
  Signers with = signers();
  with["targets"] = {test_key(44)};
  publish(with);
  ASSERT_TRUE(client.refresh());
  EXPECT_EQ(client.version("root"), 2U);
  EXPECT_EQ(client.version("targets"), 2U);
}

TEST_F(Published, damaged_files_are_not_gone_on_from) {
  publish();
  EXPECT_FALSE(Repository::open(server_.files.at("1.root.json"), server_.files.at("timestamp.json"),
                                server_.files.at("1.snapshot.json"), {}));
  EXPECT_FALSE(Repository::open(server_.files.at("1.root.json"), server_.files.at("timestamp.json"),
                                server_.files.at("timestamp.json"),
                                {{"targets", server_.files.at("1.targets.json")}}));
}

TEST(RootChange, asks_for_the_signatures_of_both_roots) {
  const Root before = make_root(four_roles(), kLater).value();
  const RoleChange change{
      "root", {Key::of(test_key(11).public_key())}, {Key::of(test_key(1).public_key()).id}, {}};
  const Root next = next_root(before, {change}, kLater).value();
  EXPECT_EQ(next.version, 2U);
  EXPECT_EQ(next.keys.size(), 4U) << "keys that no role has are left out";
  std::string bytes = sign_metadata(next, {test_key(11)}).value();
  auto missing = missing_signatures(bytes, &before).value();
  EXPECT_EQ(missing.own, 0U);
  EXPECT_EQ(missing.of_predecessor, 1U);
  bytes = add_signatures(bytes, {test_key(1)}).value();
  EXPECT_TRUE(missing_signatures(bytes, &before).value().none());
}

TEST(RootChange, refuses_what_would_lock_everybody_out) {
  const Root root = make_root(four_roles(), kLater).value();
  const std::string id = Key::of(test_key(1).public_key()).id;
  EXPECT_FALSE(next_root(root, {{"root", {}, {id}, {}}}, kLater));
  EXPECT_FALSE(next_root(root, {{"root", {}, {}, 2}}, kLater));
  EXPECT_FALSE(next_root(root, {{"root", {}, {"unknown"}, {}}}, kLater));
  EXPECT_FALSE(next_root(root, {{"mirrors", {}, {}, {}}}, kLater));
  EXPECT_FALSE(make_root({}, kLater));
}

}  // namespace
}  // namespace segue::tuf
