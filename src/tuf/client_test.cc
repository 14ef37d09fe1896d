// SPDX-License-Identifier: Apache-2.0
// The top-level roles: what is taken, what is refused, what is kept. Delegations have their own.
#include "tuf/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/digest.h"
#include "tuf/test_repository.h"

namespace segue::tuf {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Refresh, fetches_each_role_once_in_its_order) {
  TestRepository repository;
  TestClient client(repository);
  ASSERT_TRUE(client.refresh());
  EXPECT_THAT(client.fetched,
              ElementsAre("2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"));
  for (const char* role : {"root", "timestamp", "snapshot", "targets"}) {
    EXPECT_EQ(client.version(role), 1U) << role;
  }
}

TEST(Refresh, fetches_nothing_that_it_has) {
  TestRepository repository;
  TestClient client(repository);
  ASSERT_TRUE(client.refresh());
  ASSERT_TRUE(client.refresh());
  EXPECT_THAT(client.fetched, ElementsAre("2.root.json", "timestamp.json"));
}

TEST(Refresh, uses_plain_names_without_consistent_snapshots) {
  TestRepository repository(false);
  TestClient client(repository);
  ASSERT_TRUE(client.refresh());
  EXPECT_THAT(client.fetched,
              ElementsAre("2.root.json", "timestamp.json", "snapshot.json", "targets.json"));
  repository.publish_all();
  ASSERT_TRUE(client.refresh());
  EXPECT_EQ(client.version("targets"), 2U);
}

TEST(Refresh, keeps_the_bytes_that_came) {
  TestRepository repository;
  repository.files["timestamp.json"] += " \n";
  TestClient client(repository);
  ASSERT_TRUE(client.refresh());
  EXPECT_EQ(client.disk.at("timestamp"), repository.files.at("timestamp.json"));
}

TEST(Refresh, persists_each_role_before_it_asks_for_what_builds_on_it) {
  TestRepository repository;
  repository.publish("root");
  TestClient client(repository);
  ASSERT_TRUE(client.refresh());
  EXPECT_THAT(client.story,
              ElementsAre("fetch 2.root.json", "persist root", "fetch 3.root.json",
                          "fetch timestamp.json", "persist timestamp", "fetch 1.snapshot.json",
                          "persist snapshot", "fetch 1.targets.json", "persist targets"));
}

TEST(Refresh, stops_when_what_it_verified_cannot_be_kept) {
  TestRepository repository;
  TestClient client(repository);
  client.disk_fails = true;
  const auto failed = client.refresh();
  ASSERT_FALSE(failed);
  EXPECT_THAT(failed.error().message(), HasSubstr("disk is full"));
  client.disk_fails = false;
  EXPECT_TRUE(client.refresh());
}

TEST(Refresh, needs_a_root_that_its_own_keys_signed) {
  TestRepository repository;
  TestClient client(repository);
  client.disk.at("root") = sign_metadata(repository.root, {test_key(9)}).value();
  EXPECT_FALSE(client.refresh());
  EXPECT_THAT(client.fetched, ElementsAre());
  client.disk.erase("root");
  EXPECT_FALSE(client.refresh());
  EXPECT_THAT(client.fetched, ElementsAre());
}

TEST(Refresh, goes_on_after_a_failure_from_what_it_kept) {
  TestRepository repository;
  TestClient client(repository);
  const std::string targets = repository.files.at("1.targets.json");
  repository.files.erase("1.targets.json");
  EXPECT_FALSE(client.refresh());
  EXPECT_EQ(client.version("snapshot"), 1U);
  repository.files["1.targets.json"] = targets;
  ASSERT_TRUE(client.refresh());
  EXPECT_THAT(client.fetched, ElementsAre("2.root.json", "timestamp.json", "1.targets.json"));
}

// ---- Signatures and thresholds

class EveryRole : public testing::TestWithParam<std::string> {};

TEST_P(EveryRole, signed_by_another_key_is_refused_and_not_kept) {
  TestRepository repository;
  TestClient client(repository);
  ASSERT_TRUE(client.refresh());
  repository.signers.at(GetParam()) = {test_key(99)};
  repository.publish("root");
  repository.publish_all();
  const auto refused = client.refresh();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), base::ErrorCode::permission_denied);
  EXPECT_EQ(client.version(GetParam()), 1U);
}

TEST_P(EveryRole, is_refused_when_one_bit_of_it_changed) {
  TestRepository repository;
  TestClient client(repository);
  ASSERT_TRUE(client.refresh());
  repository.publish("root");
  repository.publish_all();
  const std::string file =
      GetParam() == kTimestamp ? "timestamp.json" : "2." + GetParam() + ".json";
  std::string& bytes = repository.files.at(file);
  const std::size_t at = bytes.find("\"expires\":\"2030") + 14;
  bytes[at] = '9';
  EXPECT_FALSE(client.refresh());
  EXPECT_EQ(client.version(GetParam()), 1U);
}

TEST_P(EveryRole, counts_each_key_once_whatever_its_ids) {
  TestRepository repository;
  TestClient client(repository);
  ASSERT_TRUE(client.refresh());
  // The same key under a second id, which is right for it: a field was added.
  Key twin = Key::of(repository.signers.at(GetParam())[0].public_key());
  twin.json["note"] = "a second name";
  twin.id = crypto::to_hex(crypto::digest_of(canonical_json(twin.json).value()));
  repository.root.keys.insert_or_assign(twin.id, twin);
  RoleKeys& role = repository.root.roles.at(GetParam());
  role.key_ids.push_back(twin.id);
  role.threshold = 2;
  repository.publish("root");
  repository.publish_all();
  const std::string file =
      GetParam() == kTimestamp ? "timestamp.json" : "2." + GetParam() + ".json";
  Json json = Json::parse(repository.files.at(file));
  Json copy = json["signatures"][0];
  copy["keyid"] = twin.id;
  json["signatures"].push_back(copy);
  repository.files.at(file) = json.dump();
  EXPECT_FALSE(client.refresh());
  EXPECT_NE(client.version(GetParam()), 2U);
}

TEST_P(EveryRole, needs_as_many_keys_as_its_threshold) {
  TestRepository repository;
  TestClient client(repository);
  repository.add_key(GetParam(), 50);
  repository.root.roles.at(GetParam()).threshold = 2;
  repository.publish("root");
  repository.publish_all();
  ASSERT_TRUE(client.refresh());
  repository.signers.at(GetParam()).pop_back();
  repository.publish("root");
  repository.publish_all();
  EXPECT_FALSE(client.refresh());
  EXPECT_EQ(client.version(GetParam()), 2U);
}

TEST_P(EveryRole, with_two_signatures_of_one_key_id_is_refused) {
  TestRepository repository;
  TestClient client(repository);
  repository.publish("root");
  repository.publish_all();
  const std::string file =
      GetParam() == kTimestamp ? "timestamp.json" : "2." + GetParam() + ".json";
  Json json = Json::parse(repository.files.at(file));
  json["signatures"].push_back(json["signatures"][0]);
  repository.files.at(file) = json.dump();
  EXPECT_FALSE(client.refresh());
}

TEST_P(EveryRole, of_another_type_is_refused) {
  TestRepository repository;
  TestClient client(repository);
  repository.publish("root");
  repository.publish_all();
  const std::string file =
      GetParam() == kTimestamp ? "timestamp.json" : "2." + GetParam() + ".json";
  Json json = Json::parse(repository.files.at(file))["signed"];
  json["_type"] = GetParam() == kTargets ? "snapshot" : "targets";
  repository.files.at(file) = sign(json, repository.signers.at(GetParam())).value();
  EXPECT_FALSE(client.refresh());
}

INSTANTIATE_TEST_SUITE_P(Refresh, EveryRole,
                         testing::Values("root", "timestamp", "snapshot", "targets"),
                         [](const auto& test) { return test.param; });

TEST(Threshold, more_than_there_are_keys_is_never_reached) {
  TestRepository repository;
  TestClient client(repository);
  repository.root.roles.at("snapshot").threshold = 6;
  repository.publish("root");
  repository.publish_all();
  EXPECT_FALSE(client.refresh());
  EXPECT_EQ(client.version("root"), 2U);
  EXPECT_EQ(client.version("snapshot"), 0U);
}

TEST(Threshold, a_useless_signature_beside_a_good_one_does_no_harm) {
  TestRepository repository;
  TestClient client(repository);
  repository.add_key("timestamp", 60);
  repository.publish("root");
  for (const char* useless : {"", "zz", "00"}) {
    repository.publish("timestamp");
    Json json = Json::parse(repository.files.at("timestamp.json"));
    json["signatures"][1]["sig"] = useless;
    repository.files.at("timestamp.json") = json.dump();
    EXPECT_TRUE(client.refresh()) << useless;
  }
}

// ---- Root

TEST(Root, is_followed_step_by_step) {
  TestRepository repository;
  TestClient client(repository);
  for (unsigned i = 0; i < 5; ++i) {
    const auto old_signers = repository.signers.at("root");
    repository.rotate("root", 70 + i);
    auto& signers = repository.signers.at("root");
    signers.insert(signers.end(), old_signers.begin(), old_signers.end());
    repository.publish("root");
    signers.erase(signers.begin() + 1, signers.end());
  }
  ASSERT_TRUE(client.refresh());
  EXPECT_EQ(client.version("root"), 6U);
}

TEST(Root, has_to_be_signed_by_the_old_keys_and_by_the_new) {
  for (const bool with_old : {true, false}) {
    TestRepository repository;
    TestClient client(repository);
    const auto old_signers = repository.signers.at("root");
    repository.rotate("root", 80);
    if (with_old) repository.signers.at("root") = old_signers;
    repository.publish("root");
    EXPECT_FALSE(client.refresh()) << with_old;
    EXPECT_EQ(client.version("root"), 1U);
  }
}

TEST(Root, skips_no_version) {
  TestRepository repository;
  TestClient client(repository);
  repository.root.version = 2;
  repository.publish("root");  // 3
  repository.files["2.root.json"] = repository.files.at("3.root.json");
  EXPECT_FALSE(client.refresh());
  EXPECT_EQ(client.version("root"), 1U);
}

TEST(Root, that_expired_is_only_a_step_on_the_way) {
  TestRepository repository;
  TestClient client(repository);
  repository.root.expires = kEarlier;
  repository.publish("root");
  EXPECT_FALSE(client.refresh());
  EXPECT_EQ(client.version("root"), 2U) << "kept, for it is the way to the next one";
  EXPECT_EQ(client.version("timestamp"), 0U);
  repository.root.expires = kLater;
  repository.publish("root");
  EXPECT_TRUE(client.refresh());
  EXPECT_EQ(client.version("root"), 3U);
}

TEST(Root, is_updated_only_so_often_at_once) {
  TestRepository repository;
  TestClient client(repository, {.max_root_updates = 3});
  for (int i = 0; i < 5; ++i) repository.publish("root");
  ASSERT_TRUE(client.refresh());
  EXPECT_EQ(client.version("root"), 4U);
  ASSERT_TRUE(client.refresh());
  EXPECT_EQ(client.version("root"), 6U);
}

TEST(Root, that_names_a_key_by_a_wrong_id_is_refused) {
  TestRepository repository;
  TestClient client(repository);
  Json json = to_json(repository.root);
  json["version"] = 2;
  const std::string id = repository.root.roles.at("targets").key_ids[0];
  json["keys"][id] = Key::of(test_key(90).public_key()).json;
  repository.files["2.root.json"] = sign(json, repository.signers.at("root")).value();
  const auto refused = client.refresh();
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("belongs to another key"));
}

TEST(Root, may_have_keys_that_are_not_known_here) {
  TestRepository repository;
  TestClient client(repository);
  const Json strange = {
      {"keytype", "post-quantum"}, {"scheme", "x"}, {"keyval", {{"public", "y"}}}};
  const std::string id = crypto::to_hex(crypto::digest_of(canonical_json(strange).value()));
  repository.root.keys.emplace(id, Key::parse(id, strange).value());
  repository.root.roles.at("targets").key_ids.push_back(id);
  repository.publish("root");
  repository.publish_all();
  EXPECT_TRUE(client.refresh());
}

// ---- Rollback, freeze, mix and match

TEST(Rollback, of_the_timestamp_is_refused) {
  TestRepository repository;
  TestClient client(repository);
  repository.publish("timestamp");
  ASSERT_TRUE(client.refresh());
  repository.timestamp.version = 0;
  repository.publish("timestamp");
  EXPECT_FALSE(client.refresh());
  EXPECT_EQ(client.version("timestamp"), 2U);
}

TEST(Rollback, of_the_snapshot_is_refused_with_the_timestamp_that_names_it) {
  for (const bool described : {false, true}) {
    TestRepository repository;
    repository.describe_files = described;
    TestClient client(repository);
    repository.publish("snapshot");
    repository.publish("timestamp");
    ASSERT_TRUE(client.refresh());
    repository.snapshot.version = 0;
    repository.publish("snapshot");
    repository.publish("timestamp");
    EXPECT_FALSE(client.refresh());
    EXPECT_EQ(client.version("timestamp"), 2U);
    EXPECT_EQ(client.version("snapshot"), 2U);
  }
}

TEST(Rollback, of_targets_is_refused_with_the_snapshot_that_names_them) {
  for (const bool described : {false, true}) {
    TestRepository repository;
    repository.describe_files = described;
    TestClient client(repository);
    repository.publish_all();
    ASSERT_TRUE(client.refresh());
    repository.roles.at("targets").version = 0;
    repository.publish_all();
    EXPECT_FALSE(client.refresh());
    EXPECT_EQ(client.version("snapshot"), 2U);
    EXPECT_EQ(client.version("targets"), 2U);
  }
}

TEST(Rollback, a_role_may_not_vanish_from_the_snapshot) {
  TestRepository repository;
  TestClient client(repository);
  repository.snapshot.meta["other"].version = 1;
  repository.publish("snapshot");
  repository.publish("timestamp");
  ASSERT_TRUE(client.refresh());
  repository.snapshot.meta.erase("other");
  repository.publish("snapshot");
  repository.publish("timestamp");
  EXPECT_FALSE(client.refresh());
  EXPECT_EQ(client.version("snapshot"), 2U);
}

TEST(Recovery, from_versions_an_attacker_drove_up_is_by_other_keys) {
  for (const std::string role : {"timestamp", "snapshot"}) {
    TestRepository repository;
    TestClient client(repository);
    repository.timestamp.version = repository.snapshot.version = 99;
    repository.roles.at("targets").version = 99;
    repository.publish_all();
    ASSERT_TRUE(client.refresh());
    EXPECT_EQ(client.version("targets"), 100U);

    repository.rotate(role, 40);
    repository.timestamp.version = repository.snapshot.version = 0;
    repository.roles.at("targets").version = 0;
    repository.publish("root");
    repository.publish_all();
    ASSERT_TRUE(client.refresh()) << role;
    for (const char* each : {"timestamp", "snapshot", "targets"}) {
      EXPECT_EQ(client.version(each), 1U) << each;
    }
  }
}

TEST(Recovery, forgets_before_it_keeps_the_root_so_that_it_can_be_cut_off_anywhere) {
  TestRepository repository;
  TestClient client(repository);
  ASSERT_TRUE(client.refresh());
  repository.add_key("snapshot", 41);  // the old key stays, and so would the old files
  repository.publish("root");
  repository.publish_all();
  ASSERT_TRUE(client.refresh());
  EXPECT_THAT(client.story,
              ElementsAre("fetch 2.root.json", "forget timestamp", "forget snapshot",
                          "persist root", "fetch 3.root.json", "fetch timestamp.json",
                          "persist timestamp", "fetch 2.snapshot.json", "persist snapshot",
                          "fetch 2.targets.json", "persist targets"));
}

TEST(Freeze, an_expired_role_is_refused_and_the_one_before_stays) {
  for (const std::string role : {"timestamp", "snapshot", "targets"}) {
    TestRepository repository;
    TestClient client(repository);
    ASSERT_TRUE(client.refresh());
    if (role == kTimestamp) repository.timestamp.expires = kEarlier;
    if (role == kSnapshot) repository.snapshot.expires = kEarlier;
    if (role == kTargets) repository.roles.at("targets").expires = kEarlier;
    repository.publish_all();
    EXPECT_FALSE(client.refresh()) << role;
    EXPECT_EQ(client.version(role), 1U) << role;
  }
}

TEST(Freeze, a_timestamp_that_stays_the_same_until_it_expires_is_seen) {
  TestRepository repository;
  TestClient client(repository);
  ASSERT_TRUE(client.refresh());
  EXPECT_TRUE(client.refresh(kLater - std::chrono::seconds(1)));
  repository.root.expires = kLater + std::chrono::days(9);
  repository.publish("root");
  EXPECT_FALSE(client.refresh(kLater));
}

TEST(Freeze, old_metadata_here_does_not_keep_new_metadata_out) {
  TestRepository repository;
  TestClient client(repository);
  ASSERT_TRUE(client.refresh());
  const Time much_later = kLater + std::chrono::days(100);
  repository.root.expires = repository.timestamp.expires = repository.snapshot.expires =
      repository.roles.at("targets").expires = much_later + std::chrono::days(1);
  repository.publish("root");
  repository.publish_all();
  EXPECT_TRUE(client.refresh(much_later));
}

TEST(Timestamp, of_the_same_version_is_not_taken_whatever_it_says) {
  TestRepository repository;
  TestClient client(repository);
  ASSERT_TRUE(client.refresh());
  const std::string before = client.disk.at("timestamp");
  repository.timestamp.snapshot.version = 100;
  repository.publish("timestamp", false);
  EXPECT_TRUE(client.refresh());
  EXPECT_EQ(client.disk.at("timestamp"), before);
}

TEST(MixAndMatch, a_snapshot_that_is_not_the_timestamps_is_refused) {
  TestRepository repository;
  TestClient client(repository);
  ASSERT_TRUE(client.refresh());
  repository.publish("snapshot");
  repository.publish("timestamp");
  repository.snapshot.version = 2;
  const std::string right = repository.files.at("2.snapshot.json");
  repository.publish("snapshot");
  repository.files["2.snapshot.json"] = repository.files.at("3.snapshot.json");
  EXPECT_FALSE(client.refresh());
  EXPECT_EQ(client.version("timestamp"), 2U);
  EXPECT_EQ(client.version("snapshot"), 1U);
  repository.files["2.snapshot.json"] = right;
  EXPECT_TRUE(client.refresh());
}

TEST(MixAndMatch, lengths_and_digests_are_checked_where_they_are_stated) {
  for (const std::string role : {"snapshot", "targets"}) {
    TestRepository repository;
    repository.describe_files = true;
    repository.publish_all();
    TestClient client(repository);
    const std::string good = repository.files.at("2." + role + ".json");
    repository.files.at("2." + role + ".json") = " " + good.substr(0, good.size() - 1) + "}";
    EXPECT_FALSE(client.refresh()) << role;
    repository.files.at("2." + role + ".json") = good + " ";
    EXPECT_FALSE(client.refresh()) << role;
    EXPECT_EQ(client.version(role), 0U);
    repository.files.at("2." + role + ".json") = good;
    EXPECT_TRUE(client.refresh());
  }
}

TEST(MixAndMatch, a_missing_file_ends_the_update) {
  for (const std::string role : {"snapshot", "targets"}) {
    TestRepository repository;
    TestClient client(repository);
    ASSERT_TRUE(client.refresh());
    repository.publish_all();
    repository.files.erase("2." + role + ".json");
    EXPECT_FALSE(client.refresh()) << role;
    EXPECT_EQ(client.version(role), 1U);
    EXPECT_EQ(client.version("timestamp"), 2U);
  }
}

TEST(Bounds, endless_data_is_refused) {
  for (const char* file : {"2.root.json", "timestamp.json", "1.snapshot.json", "1.targets.json"}) {
    TestRepository repository;
    TestClient client(repository);
    repository.files[file] = std::string(std::size_t{6} << 20, ' ');
    const auto refused = client.refresh();
    ASSERT_FALSE(refused) << file;
    EXPECT_EQ(refused.error().code(), base::ErrorCode::resource_exhausted) << file;
  }
}

TEST(Bounds, a_stated_length_is_all_that_is_asked_for) {
  TestRepository repository;
  repository.describe_files = true;
  repository.publish_all();
  TestClient client(repository);
  repository.files.at("2.snapshot.json") += std::string(1'000'000, ' ');
  const auto refused = client.refresh();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), base::ErrorCode::resource_exhausted);
}

}  // namespace
}  // namespace segue::tuf
