// SPDX-License-Identifier: Apache-2.0
// The search for a target through delegations: specification 1.0, section 5.6.7.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/digest.h"
#include "tuf/test_repository.h"

namespace segue::tuf {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct Edge {
  std::string from;
  std::string to;
  bool terminating = false;
  std::vector<std::string> paths = {"*"};
};

struct Graph {
  std::string name;
  std::vector<Edge> edges;
  std::vector<std::string> order;  // of the roles that are looked at
};

void build(TestRepository& repository, const std::vector<Edge>& edges) {
  std::vector<std::string> names;
  for (const auto& edge : edges) {
    DelegatedRole role;
    role.name = edge.to;
    role.terminating = edge.terminating;
    role.paths = edge.paths;
    repository.delegate(edge.from, role);
    if (std::ranges::find(names, edge.to) == names.end()) names.push_back(edge.to);
  }
  for (const auto& name : names) repository.publish(name, false);
  repository.publish_all();
}

void add_target(TestRepository& repository, const std::string& role, const std::string& path) {
  TargetFile& file = repository.roles.at(role).targets[path];
  file.length = 4;
  file.hashes["sha256"] = crypto::to_hex(crypto::digest_of("data"));
}

class Graphs : public testing::TestWithParam<Graph> {};

TEST_P(Graphs, are_searched_in_order_and_depth_first) {
  TestRepository repository;
  build(repository, GetParam().edges);
  TestClient client(repository);
  ASSERT_TRUE(client.refresh());
  const auto found = client.find("missing");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code(), base::ErrorCode::not_found);
  std::vector<std::string> files;
  for (const auto& role : GetParam().order) files.push_back("1." + role + ".json");
  EXPECT_EQ(client.fetched, files);
}

INSTANTIATE_TEST_SUITE_P(
    Delegations, Graphs,
    testing::Values(
        Graph{"siblings", {{"targets", "A"}, {"targets", "B"}}, {"A", "B"}},
        Graph{"children_before_siblings",
              {{"targets", "A"}, {"targets", "B"}, {"A", "C"}, {"A", "D"}},
              {"A", "C", "D", "B"}},
        Graph{"terminating_ends_what_comes_behind_it",
              {{"targets", "A"}, {"targets", "B"}, {"A", "C", true}, {"A", "D"}},
              {"A", "C"}},
        Graph{"below_terminating_it_goes_on",
              {{"targets", "A"}, {"targets", "B"}, {"A", "C", true}, {"C", "D"}},
              {"A", "C", "D"}},
        Graph{"other_paths_are_passed_by",
              {{"targets", "A", false, {"*.py"}}, {"targets", "B"}, {"A", "C"}},
              {"B"}},
        Graph{"a_terminating_role_for_other_paths_ends_nothing",
              {{"targets", "A", true, {"*.py"}}, {"targets", "B"}},
              {"B"}},
        Graph{"cycle", {{"targets", "B"}, {"B", "C"}, {"C", "D"}, {"D", "B"}}, {"B", "C", "D"}},
        Graph{"two_ways_to_one_role",
              {{"targets", "A"}, {"targets", "B"}, {"B", "C"}, {"A", "C"}},
              {"A", "C", "B"}}),
    [](const auto& test) { return test.param.name; });

TEST(Search, finds_what_every_role_on_the_way_is_trusted_with) {
  TestRepository repository;
  build(repository, {{"targets", "A", false, {"*.doc", "foo-?.tgz"}},
                     {"targets", "B", false, {"releases/*/*"}},
                     {"B", "C", false, {"releases/x/*"}}});
  add_target(repository, "A", "foo-1.tgz");
  add_target(repository, "A", "foo-alpha.tgz");
  add_target(repository, "C", "releases/x/x_v1");
  add_target(repository, "C", "releases/z/z_v1");
  repository.publish("A");
  repository.publish("C");
  repository.publish_all();
  TestClient client(repository);
  ASSERT_TRUE(client.refresh());
  EXPECT_EQ(client.find("foo-1.tgz").value().role, "A");
  EXPECT_EQ(client.find("releases/x/x_v1").value().role, "C");
  EXPECT_FALSE(client.find("foo-alpha.tgz"));
  EXPECT_FALSE(client.find("releases/z/z_v1"));
}

TEST(Search, by_digests_of_paths) {
  TestRepository repository;
  DelegatedRole bin;
  bin.name = "bin";
  const std::string digest = crypto::to_hex(crypto::digest_of("some/file"));
  bin.path_hash_prefixes = std::vector<std::string>{digest.substr(0, 3)};
  repository.delegate("targets", bin);
  add_target(repository, "bin", "some/file");
  add_target(repository, "bin", "another/file");
  repository.publish("bin", false);
  repository.publish_all();
  TestClient client(repository);
  ASSERT_TRUE(client.refresh());
  EXPECT_TRUE(client.find("some/file"));
  EXPECT_FALSE(client.find("another/file"));
}

TEST(Search, looks_at_so_many_roles_and_no_more) {
  TestRepository repository;
  std::vector<Edge> edges;
  for (int i = 0; i < 10; ++i) edges.push_back({"targets", "role" + std::to_string(i)});
  build(repository, edges);
  TestClient client(repository, {.max_delegations = 4});
  ASSERT_TRUE(client.refresh());
  EXPECT_FALSE(client.find("missing"));
  EXPECT_EQ(client.fetched.size(), 4U);
}

TEST(Search, ends_at_a_role_that_cannot_be_had) {
  TestRepository repository;
  build(repository, {{"targets", "A"}, {"targets", "B"}});
  add_target(repository, "B", "file");
  repository.publish("B");
  repository.publish_all();
  repository.files.erase("1.A.json");
  TestClient client(repository);
  ASSERT_TRUE(client.refresh());
  EXPECT_FALSE(client.find("file"));
  EXPECT_THAT(client.fetched, ElementsAre("1.A.json"));
}

TEST(Search, ends_at_a_role_that_the_snapshot_does_not_name) {
  TestRepository repository;
  build(repository, {{"targets", "A"}});
  repository.snapshot.meta.erase("A");
  repository.publish("snapshot");
  repository.publish("timestamp");
  TestClient client(repository);
  ASSERT_TRUE(client.refresh());
  EXPECT_FALSE(client.find("file"));
  EXPECT_THAT(client.fetched, IsEmpty());
}

TEST(Search, refuses_a_role_that_its_delegator_does_not_trust) {
  TestRepository repository;
  build(repository, {{"targets", "A"}});
  repository.signers.at("A") = {test_key(99)};
  repository.publish("A");
  repository.publish_all();
  TestClient client(repository);
  ASSERT_TRUE(client.refresh());
  EXPECT_FALSE(client.find("file"));
  EXPECT_EQ(client.version("A"), 0U);
}

TEST(Search, does_not_believe_a_role_on_another_ones_word) {
  TestRepository repository;
  build(repository, {{"targets", "A", false, {"a/*"}},
                     {"targets", "B", false, {"b/*"}},
                     {"A", "shared", false, {"a/*"}}});
  DelegatedRole shared;
  shared.name = "shared";
  shared.paths = std::vector<std::string>{"b/*"};
  const Key other = Key::of(test_key(98).public_key());
  shared.keys.key_ids = {other.id};
  Delegations from_b;
  from_b.keys.emplace(other.id, other);
  from_b.roles.push_back(shared);
  repository.roles.at("B").delegations = from_b;
  add_target(repository, "shared", "a/file");
  add_target(repository, "shared", "b/file");
  for (const char* role : {"shared", "A", "B"}) repository.publish(role);
  repository.publish_all();
  TestClient client(repository);
  ASSERT_TRUE(client.refresh());
  EXPECT_TRUE(client.find("a/file"));
  EXPECT_FALSE(client.find("b/file")) << "B trusts another key for that role";
}

TEST(Search, knows_what_it_has_already) {
  TestRepository repository;
  build(repository, {{"targets", "A"}});
  TestClient client(repository);
  ASSERT_TRUE(client.refresh());
  EXPECT_FALSE(client.find("x"));
  EXPECT_FALSE(client.find("y"));
  EXPECT_THAT(client.fetched, IsEmpty());
}

TEST(Search, asks_for_unusual_names_by_safe_files) {
  for (const auto& [role, file] : std::map<std::string, std::string>{
           {"?", "1.%3F.json"}, {"../up", "1...%2Fup.json"}, {"/a b", "1.%2Fa%20b.json"}}) {
    TestRepository repository;
    build(repository, {{"targets", role}});
    TestClient client(repository);
    ASSERT_TRUE(client.refresh());
    EXPECT_FALSE(client.find("x"));
    EXPECT_THAT(client.fetched, ElementsAre(file));
  }
}

TEST(Search, lets_no_delegation_take_the_name_of_a_top_level_role) {
  TestRepository repository;
  DelegatedRole role;
  role.name = "root";
  role.paths = std::vector<std::string>{"*"};
  repository.roles.at("targets").delegations.emplace().roles.push_back(role);
  repository.publish_all();
  TestClient client(repository);
  const auto refused = client.refresh();
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("name of the role 'root'"));
  EXPECT_EQ(client.version("targets"), 0U);
}

TEST(Search, finds_a_role_by_what_it_is_trusted_with_though_it_has_nothing_like_it) {
  TestRepository repository;
  build(repository,
        {{"targets", "other", true, {"other/*"}}, {"targets", "wanted", true, {"dir/*"}}});
  add_target(repository, "wanted", "dir/a");
  repository.publish("wanted", false);
  repository.publish_all();
  TestClient client(repository);
  ASSERT_TRUE(client.refresh());
  const auto role = client.find_role("dir/missing");
  ASSERT_TRUE(role) << role.error().to_string();
  EXPECT_TRUE(role->targets.contains("dir/a"));
  EXPECT_THAT(client.fetched, ElementsAre("1.wanted.json"));
  EXPECT_FALSE(client.find_role("nobody/a"));
  EXPECT_TRUE(client.find("dir/a"));
  EXPECT_FALSE(client.find("dir/missing"));
}

TEST(Location, has_the_digest_before_the_name) {
  FoundTarget target;
  target.path = "dir/with space/a.txt";
  target.file.hashes = {{"sha512", "55"}, {"sha256", "22"}};
  EXPECT_EQ(target.location(true), "dir/with%20space/22.a.txt");
  EXPECT_EQ(target.location(false), "dir/with%20space/a.txt");
}

}  // namespace
}  // namespace segue::tuf
